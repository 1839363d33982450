//! The engine's [`Clock`] as the SDK's: so that under a simulated world the SDK's back-off, time limits and signatures follow
//! the simulated time.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;
use wf_engine::clock::{self, Clock};

/// Lets the clock's time pass for the SDK.
pub(super) struct ClockSleep(pub(super) Arc<dyn Clock>);

impl AsyncSleep for ClockSleep {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(Shareable(Mutex::new(self.0.sleep(duration))))
    }
}

impl std::fmt::Debug for ClockSleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClockSleep")
    }
}

/// Makes the clock's future `Sync`, which the SDK asks for although it polls it from one task only. Never locks.
struct Shareable(Mutex<clock::Sleep>);

impl Future for Shareable {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner);
        sleep.as_mut().poll(cx)
    }
}

/// Tells the clock's time to the SDK.
pub(super) struct ClockTime(pub(super) Arc<dyn Clock>);

impl TimeSource for ClockTime {
    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}

impl std::fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClockTime")
    }
}
