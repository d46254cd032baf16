//! Finding the first time at which everybody is free.

use super::super::at;
use super::Job;
use crate::stream::Stream;
use crate::words::{DAYS, NAMES, THINGS};

/// Half hours from 9:00 to 17:00.
const SLOTS: usize = 16;

/// A job of a level.
pub(super) fn draw(stream: &mut Stream, level: u32) -> Job {
    let people = at(&[2, 3, 4], level);
    let names = stream.sample(&NAMES, people);
    let first = stream.index(DAYS.len() - 3);
    let days = &DAYS[first..first + at(&[1, 2, 2], level)];
    let length = usize::try_from(stream.between(1, 3)).unwrap_or(1);
    let (calendars, (day, start)) = loop {
        let calendars: Vec<Vec<Vec<bool>>> =
            names.iter().map(|_| days.iter().map(|_| busy(stream, people)).collect()).collect();
        match earliest(&calendars, days.len(), length) {
            // Not what one would say without looking.
            Some((0, 0)) | None => {}
            Some(found) => break (calendars, found),
        }
    };
    let mut lines = Vec::new();
    for (name, calendar) in names.iter().zip(&calendars) {
        for (day, slots) in days.iter().zip(calendar) {
            lines.push(format!("- {name}, {day}: {}", told(slots)));
        }
    }
    let text = format!(
        "Find the first time for a meeting of {} minutes about the {} {} between 9:00 and 17:00, on a full or half hour, at \
         which nobody is busy. Days are in order. A meeting may begin when something else ends.\n\nBusy:\n{}\n\nThe \
         result has one row.",
        30 * length,
        stream.between(100, 999),
        stream.pick(&THINGS),
        lines.join("\n")
    );
    let row = vec![days[day].to_owned(), clock(start), clock(start + length)];
    Job { text, headings: &["day", "start", "end"], rows: vec![row] }
}

/// Which half hours of a day are taken.
fn busy(stream: &mut Stream, people: usize) -> Vec<bool> {
    let mut slots = vec![false; SLOTS];
    let meetings = if people < 3 { 4 } else { 3 };
    for _ in 0..meetings {
        let (start, length) = (stream.index(SLOTS - 1), 1 + stream.index(4));
        slots[start..(start + length).min(SLOTS)].fill(true);
    }
    slots
}

/// Day and half hour of the first stretch in which all are free.
fn earliest(calendars: &[Vec<Vec<bool>>], days: usize, length: usize) -> Option<(usize, usize)> {
    let free = |day: usize, slot: usize| calendars.iter().all(|calendar| !calendar[day][slot]);
    (0..days).find_map(|day| {
        let start =
            (0..=SLOTS - length).find(|start| (*start..start + length).all(|slot| free(day, slot)))?;
        Some((day, start))
    })
}

/// The stretches that are taken.
fn told(slots: &[bool]) -> String {
    let mut stretches = Vec::new();
    let mut from = None;
    for (slot, taken) in slots.iter().copied().chain([false]).enumerate() {
        match (from, taken) {
            (None, true) => from = Some(slot),
            (Some(start), false) => {
                stretches.push(format!("{}-{}", clock(start), clock(slot)));
                from = None;
            }
            _ => {}
        }
    }
    stretches.join(", ")
}

fn clock(slot: usize) -> String {
    format!("{}:{:02}", 9 + slot / 2, slot % 2 * 30)
}
