//! How Loadline speaks: data on standard output, words on standard error.
//!
//! Words have the shape `VERB text`, the verb right-aligned in 12 columns and coloured as cargo does. A view that
//! cannot be written (a closed standard error) is lost without failing the command; data that cannot be written
//! ends it.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal as _, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressDrawTarget};
use loadline_core::untrusted::sanitize;

use crate::exit::Exit;
use crate::failure::Failure;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Terminal roles; colour is never the only sign.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Something went wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Advice.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// Less important.
pub const DIM: Style = Style::new().dimmed();
/// A heading.
pub const STRONG: Style = Style::new().bold();

/// Where words and data go.
#[derive(Clone)]
pub struct Ui {
    quiet: bool,
    live: bool,
    color_err: bool,
    color_out: bool,
    bars: MultiProgress,
}

impl Ui {
    /// Looks at the terminal and the environment once.
    pub fn new(color: ColorChoice, quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colored = |terminal: bool| match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => terminal && !no_color && !dumb,
        };
        let err_is_terminal = io::stderr().is_terminal();
        let live = err_is_terminal && !dumb && !quiet;
        let target = if live { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        Self {
            quiet,
            live,
            color_err: colored(err_is_terminal),
            color_out: colored(io::stdout().is_terminal()),
            bars: MultiProgress::with_draw_target(target),
        }
    }

    /// Whether bars are drawn (a terminal, not `--quiet`).
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// The bars at the foot of the terminal.
    pub fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// A text in a style, when standard error is coloured.
    pub fn styled<T: fmt::Display>(&self, style: Style, text: T) -> Styled<T> {
        Styled { style: self.color_err.then_some(style), text }
    }

    /// `VERB text`: something done, or being done.
    pub fn status(&self, verb: &str, text: impl fmt::Display) {
        self.status_in(GOOD, verb, text);
    }

    /// As [`Ui::status`], in the colour of a warning.
    pub fn status_warn(&self, verb: &str, text: impl fmt::Display) {
        self.status_in(WARN, verb, text);
    }

    fn status_in(&self, style: Style, verb: &str, text: impl fmt::Display) {
        if !self.quiet {
            self.line(format_args!("{} {text}", self.styled(style, format_args!("{verb:>12}"))));
        }
    }

    /// A line of words as it is.
    pub fn say(&self, text: impl fmt::Display) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// `warning: text`, also with `--quiet`.
    pub fn warning(&self, text: impl fmt::Display) {
        self.line(format_args!("{}: {text}", self.styled(WARN, "warning")));
    }

    /// A blank line and `hint: text`.
    pub fn hint(&self, text: impl fmt::Display) {
        if !self.quiet {
            self.line(format_args!("\n{}: {text}", self.styled(HINT, "hint")));
        }
    }

    /// `error:`, the causes, a blank line and the hint; also with `--quiet`.
    pub fn failure(&self, failure: &Failure) {
        if failure.closed_pipe {
            return;
        }
        let mut text = format!("{}: {}", self.styled(BAD, "error"), indented(&failure.message, 0));
        for cause in &failure.causes {
            text.push_str(&format!("\n  caused by: {}", indented(cause, 4)));
        }
        if let Some(hint) = &failure.hint {
            text.push_str(&format!("\n\n{}: {}", self.styled(HINT, "hint"), sanitize(hint)));
        }
        self.line(text);
    }

    /// Writes a line to standard error above the bars. A standard error that is closed loses the view only.
    pub fn line(&self, text: impl fmt::Display) {
        self.bars.suspend(|| {
            let _lost_view = writeln!(io::stderr().lock(), "{text}");
        });
    }

    /// Standard output, buffered; flush with [`Out::finish`].
    pub fn out(&self) -> Out {
        Out { writer: BufWriter::new(io::stdout().lock()), color: self.color_out }
    }
}

/// Lines after the first moved in by some columns, safe for a terminal.
fn indented(text: &str, columns: usize) -> String {
    sanitize(text).replace('\n', &format!("\n{:columns$}", ""))
}

/// A text with the codes of its style around it.
pub struct Styled<T> {
    style: Option<Style>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Some(style) => write!(f, "{style}{}{style:#}", self.text),
            None => self.text.fmt(f),
        }
    }
}

/// Standard output. Its errors become a [`Failure`]; a reader that went away ends the command without a word.
pub struct Out {
    writer: BufWriter<io::StdoutLock<'static>>,
    color: bool,
}

impl Out {
    /// A text in a style, when standard output is coloured.
    pub fn styled<T: fmt::Display>(&self, style: Style, text: T) -> Styled<T> {
        Styled { style: self.color.then_some(style), text }
    }

    /// Writes a line.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.writer, "{text}").map_err(|error| out_failure(&error))
    }

    /// Writes a value as one line of JSON.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
        self.line(text)
    }

    /// The writer itself, for code that streams into one.
    pub fn writer(&mut self) -> &mut impl Write {
        &mut self.writer
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(|error| out_failure(&error))
    }
}

/// What an error on standard output means.
pub fn out_failure(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        let mut failure = Failure::new(Exit::Ok, "standard output was closed");
        failure.closed_pipe = true;
        return failure;
    }
    Failure::because(Exit::Unexpected, "cannot write to standard output", error).maybe_hint(
        match error.kind() {
            io::ErrorKind::StorageFull => Some("the disk it goes to is full".to_owned()),
            _ => None,
        },
    )
}

/// A whole number with commas between thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `3 samples`, `1 sample`, `2 entries`, `2 witnesses`.
pub fn count(number: u64, noun: &str) -> String {
    let number_shown = thousands(number);
    match noun.strip_suffix("ry") {
        _ if number == 1 => format!("{number_shown} {noun}"),
        Some(stem) => format!("{number_shown} {stem}ries"),
        None if noun.ends_with('s') => format!("{number_shown} {noun}es"),
        None => format!("{number_shown} {noun}s"),
    }
}

/// A size in the units people read model sizes in (1 MB = 1,000,000 bytes).
pub fn bytes(size: u64) -> String {
    match size {
        0..=999 => format!("{size} B"),
        1_000..=999_999 => format!("{:.1} kB", size as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.0} MB", size as f64 / 1e6),
        _ => format!("{:.2} GB", size as f64 / 1e9),
    }
}

/// `0.3s`, `7m 52s`, `2h 03m`.
pub fn duration(time: std::time::Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=9 => format!("{:.1}s", time.as_secs_f64()),
        10..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `04:11`, `1:02:03`: for times that change while one looks at them.
pub fn clock(time: std::time::Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 3600 {
        0 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(count(1, "sample"), "1 sample");
        assert_eq!([count(2, "entry"), count(0, "witness")], ["2 entries", "0 witnesses"]);
        assert_eq!(bytes(491_400_064), "491 MB");
        assert_eq!(duration(Duration::from_millis(9_949)), "9.9s");
        assert_eq!(duration(Duration::from_secs(472)), "7m 52s");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
    }
}
