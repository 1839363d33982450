//! The way to the operator: data to stdout, words to stderr, through writers that `main` hands in.

use std::io::{self, BufRead as _, IsTerminal as _, Write};

use serde::Serialize;

use crate::args::{Color, Global};
use crate::failure::Failure;
use crate::render::{Look, harmless, harmless_json};

/// The width of output that goes to no terminal.
const WIDTH_DEFAULT: usize = 120;

/// Where output goes, and how it looks there.
pub struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    out_look: Look,
    err_look: Look,
    json: bool,
    asks: bool,
}

impl Console {
    pub fn new(global: &Global, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        let watched = !global.no_tty && !in_ci();
        let out_tty = watched && io::stdout().is_terminal();
        let err_tty = watched && io::stderr().is_terminal();
        Self {
            out,
            err,
            out_look: look(global, out_tty),
            err_look: look(global, err_tty),
            json: global.json,
            asks: err_tty && io::stdin().is_terminal(),
        }
    }

    /// Tells whether data is to be written as JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Tells whether somebody sits there who can be asked.
    pub fn asks(&self) -> bool {
        self.asks
    }

    pub fn out_look(&self) -> &Look {
        &self.out_look
    }

    pub fn err_look(&self) -> &Look {
        &self.err_look
    }

    /// Writes data, as a line.
    pub fn data(&mut self, text: &str) -> Result<(), Failure> {
        let text = harmless(text, self.out_look.color);
        self.out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            self.out.write_all(b"\n")?;
        }
        Ok(self.out.flush()?)
    }

    /// Writes data as JSON: indented for one document.
    pub fn document(&mut self, data: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(data).map_err(io::Error::from)?;
        self.data(&harmless_json(text))
    }

    /// Writes data as one line of JSON, for streams.
    pub fn json_line(&mut self, data: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(data).map_err(io::Error::from)?;
        self.data(&harmless_json(text))
    }

    /// Says something to the operator. When nobody listens any more, the work goes on.
    pub fn say(&mut self, text: &str) {
        let _ = writeln!(self.err, "{}", harmless(text, self.err_look.color));
        let _ = self.err.flush();
    }

    /// Asks on the terminal and returns the line typed; `None` at its end.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        let _ = write!(self.err, "{}", harmless(question, self.err_look.color));
        let _ = self.err.flush();
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim().to_owned()),
        }
    }
}

/// Tells whether this is one of the machines that build and test: nobody sits there, even if its output looks like a terminal.
fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "0" && ci != "false")
}

fn look(global: &Global, tty: bool) -> Look {
    let set = |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
    let plain = !tty || global.plain || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let color = match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => !plain && !set("NO_COLOR"),
    };
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = match (tty, terminal_size::terminal_size()) {
        (true, Some((terminal_size::Width(width), _))) => usize::from(width),
        (true, None) | (false, _) => columns.unwrap_or(WIDTH_DEFAULT),
    };
    Look { color, tty: !plain, plain, width }
}
