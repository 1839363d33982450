//! Where what the libraries trace goes: to stderr, if `WF_LOG` asks for it (`WF_LOG=debug`, `WF_LOG=wf_engine=trace`), with secrets masked at
//! every level; and, in a `wf` that was built for it, to an OpenTelemetry collector.

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use crate::args::LogFormat;
use crate::redact::Masked;

/// What has to be ended when the process does.
pub struct Traced {
    #[cfg(feature = "otlp")]
    export: Option<crate::otlp::Export>,
}

/// Begins to trace, as the environment asks. `secrets` are those of the command line.
pub fn begin(format: LogFormat, secrets: Vec<String>) -> Traced {
    #[cfg(feature = "otlp")]
    let secrets = [secrets, crate::otlp::secrets()].concat();
    let filter = std::env::var("WF_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = filter.and_then(|filter| EnvFilter::try_new(filter).ok());
    let words = filter.map(|filter| {
        let words = tracing_subscriber::fmt::layer().with_writer(Masked::stderr(&secrets));
        match format {
            LogFormat::Text => words.with_filter(filter).boxed(),
            LogFormat::Json => words.json().with_filter(filter).boxed(),
        }
    });
    begin_with(words)
}

type Words = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

#[cfg(not(feature = "otlp"))]
fn begin_with(words: Option<Words>) -> Traced {
    // Without a subscriber nothing is even looked at.
    if let Some(words) = words {
        tracing_subscriber::registry().with(words).init();
    }
    Traced {}
}

#[cfg(feature = "otlp")]
fn begin_with(words: Option<Words>) -> Traced {
    let export = crate::otlp::Export::begin();
    let spans = export.as_ref().map(|export| export.layer().boxed());
    let layers: Vec<Words> = [words, spans].into_iter().flatten().collect();
    if !layers.is_empty() {
        tracing_subscriber::registry().with(layers).init();
    }
    Traced { export }
}

impl Traced {
    /// Sends what is left, for a few seconds at most.
    pub fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(export) = self.export {
            export.finish();
        }
    }
}
