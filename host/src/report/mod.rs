//! What people read: the live line and the summary; and the summary as JSON.
//!
//! Everything here turns values into text. `cli` decides where the text goes,
//! how wide it may be and whether it has colour.

mod health;
pub mod json;
#[cfg(test)]
mod made_up;
pub mod progress;
mod shape;
pub mod summary;
mod table;
mod text;

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// The styles of a report. Nothing is said by colour alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Palette {
    good: Style,
    bad: Style,
    doubtful: Style,
    title: Style,
}

impl Palette {
    /// No styles at all.
    pub const PLAIN: Self = Self {
        good: Style::new(),
        bad: Style::new(),
        doubtful: Style::new(),
        title: Style::new(),
    };

    /// Colours that are legible on light and dark terminals.
    pub const COLOURED: Self = Self {
        good: AnsiColor::Green.on_default().bold(),
        bad: AnsiColor::Red.on_default().bold(),
        doubtful: AnsiColor::Yellow.on_default().bold(),
        title: Style::new().bold(),
    };
}

/// Puts a text into a style.
fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
