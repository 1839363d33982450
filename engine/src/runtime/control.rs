//! Operators' orders on their way to a live run.

use tokio::sync::{mpsc, oneshot};

use crate::model::event::Operator;
use crate::model::order::{Order, Refusal};

/// What can be told a live run.
#[derive(Debug)]
pub enum Control {
    /// Start nothing more, leave waits, record the interruption.
    Interrupt {
        /// What asks for it, such as `Ctrl-C`.
        reason: String,
    },
    /// Do as an operator says.
    Order {
        /// What.
        order: Order,
        /// Who says so.
        by: Operator,
        /// Why, in their words.
        reason: String,
        /// Told when the order is on record, or why it is refused.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
}

/// How many orders can wait to be read.
const ORDERS_MAX: usize = 64;

/// Sends orders to a run.
pub type Controller = mpsc::Sender<Control>;
/// The run's end of it.
pub type ControlReceiver = mpsc::Receiver<Control>;

/// Makes a way to order a run about.
pub fn channel() -> (Controller, ControlReceiver) {
    mpsc::channel(ORDERS_MAX)
}
