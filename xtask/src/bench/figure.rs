//! One line of the benchmark's output.

use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;

/// A median with its quartiles, and what is promised of it.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) table: String,
    pub(crate) load: String,
    pub(crate) what: String,
    unit: String,
    median: f64,
    low: f64,
    high: f64,
    pub(crate) rounds: u64,
    at_most: Option<f64>,
    aim: Option<f64>,
}

impl Figure {
    /// Reads a line.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line)
            .with_context(|| format!("the benchmark printed {line:?}, which is no figure"))?;
        let missing = |name: &str| format!("a figure without {name}: {line}");
        let text = |name: &str| {
            let text = value[name].as_str().with_context(|| missing(name));
            text.map(str::to_owned)
        };
        let number = |name: &str| value[name].as_f64().with_context(|| missing(name));
        Ok(Self {
            table: text("table")?,
            load: text("load")?,
            what: text("what")?,
            unit: text("unit")?,
            median: number("median")?,
            low: number("low")?,
            high: number("high")?,
            rounds: value["rounds"]
                .as_u64()
                .with_context(|| missing("rounds"))?,
            at_most: value["at_most"].as_f64(),
            aim: value["aim"].as_f64(),
        })
    }

    /// Whether the median is over what is promised.
    pub(crate) fn is_missed(&self) -> bool {
        self.at_most.is_some_and(|limit| self.median > limit)
    }

    /// The median with its unit.
    pub(crate) fn median(&self) -> String {
        self.with_unit(&short(self.median))
    }

    /// The middle half of the rounds; nothing where there was one.
    pub(crate) fn spread(&self) -> String {
        if self.rounds == 1 {
            return String::new();
        }
        format!("{} to {}", short(self.low), short(self.high))
    }

    /// What is promised.
    pub(crate) fn target(&self) -> String {
        let Some(limit) = self.at_most else {
            return String::new();
        };
        let limit = self.with_unit(&trimmed(limit));
        match self.aim {
            Some(aim) => format!("at most {limit}, aim {}", trimmed(aim)),
            None => format!("at most {limit}"),
        }
    }

    /// How the figure stands to it.
    pub(crate) fn verdict(&self) -> &'static str {
        match (self.at_most, self.is_missed()) {
            (None, _) => "",
            (Some(_), false) => "met",
            (Some(_), true) => "**missed**",
        }
    }

    fn with_unit(&self, number: &str) -> String {
        format!("{number} {}", self.unit).trim_end().to_owned()
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.load, self.what, self.median())?;
        if self.rounds > 1 {
            write!(f, " ({})", self.spread())?;
        }
        match self.at_most {
            Some(_) => write!(f, "  [{}: {}]", self.target(), self.verdict()),
            None => Ok(()),
        }
    }
}

/// Three digits or more, never an exponent.
fn short(number: f64) -> String {
    let size = number.abs();
    if size >= 100.0 {
        format!("{number:.0}")
    } else if size >= 10.0 {
        format!("{number:.1}")
    } else if size >= 1.0 {
        format!("{number:.2}")
    } else {
        format!("{number:.3}")
    }
}

fn trimmed(number: f64) -> String {
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"table":"T","load":"hot","what":"ours","unit":"ns","median":61.34,"low":60,"high":63.1,"rounds":7,"at_most":70.0,"aim":45.0}"#;

    #[test]
    fn a_figure_says_how_it_stands_to_its_target() {
        let figure = Figure::parse(LINE).unwrap();
        assert_eq!(
            figure.to_string(),
            "hot: ours: 61.3 ns (60.0 to 63.1)  [at most 70 ns, aim 45: met]"
        );
        let figure = Figure::parse(&LINE.replace("61.34", "70.1")).unwrap();
        assert_eq!((figure.is_missed(), figure.verdict()), (true, "**missed**"));
    }

    #[test]
    fn without_a_target_nothing_is_judged() {
        let line = LINE.replace(r#""at_most":70.0,"aim":45.0"#, r#""at_most":null"#);
        let figure = Figure::parse(&line).unwrap();
        assert_eq!((figure.target().as_str(), figure.verdict()), ("", ""));
        assert!(!figure.is_missed());
    }

    #[test]
    fn what_is_no_figure_is_an_error() {
        assert!(Figure::parse("ready").is_err());
        assert!(Figure::parse(r#"{"table":"T"}"#).is_err());
    }
}
