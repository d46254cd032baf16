//! What a person sees of a download: a bar over bytes on a terminal, a line now and then otherwise.

use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::ui::{self, Ui};

/// One file on its way.
pub struct View<'a> {
    ui: &'a Ui,
    verb: &'static str,
    name: &'static str,
    size: u64,
    bar: Option<ProgressBar>,
    quarter: AtomicU64,
}

impl<'a> View<'a> {
    /// A view of `size` bytes, all still to come.
    pub fn new(ui: &'a Ui, verb: &'static str, name: &'static str, size: u64) -> Self {
        let bar = ui.is_live().then(|| {
            let template = "{prefix:>12.green.bold} {msg}  {bar:24.cyan/dim}  {bytes}/{total_bytes}  {bytes_per_sec}, about {eta} left";
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(size).with_style(style.progress_chars("━╸─")).with_prefix(verb).with_message(name);
            ui.bars().add(bar)
        });
        Self { ui, verb, name, size, bar, quarter: AtomicU64::new(0) }
    }

    /// So many bytes are here.
    pub fn at(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
            return;
        }
        // Without a terminal: a line for each quarter, so that a log shows that it is alive.
        let quarter = bytes * 4 / self.size.max(1);
        if quarter > self.quarter.load(Ordering::Relaxed) && self.verb != "Checking" {
            self.quarter.store(quarter, Ordering::Relaxed);
            let (done, all) = (ui::bytes(bytes), ui::bytes(self.size));
            self.ui.status(self.verb, format_args!("{}: {done} of {all}", self.name));
        }
    }

    /// A part begins.
    pub fn part(&self, part: u32, parts: u32) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{} (part {part} of {parts})", self.name));
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}
