//! Numbers for people. What is not known is a question mark.

/// Stands for what is not known.
pub const UNKNOWN: &str = "?";

/// CPUs, without the word.
pub fn cpus(cpus: f64) -> String {
    match cpus {
        c if c <= 0.0 => "0".into(),
        c if c < 0.005 => "<0.01".into(),
        c if c < 9.995 => format!("{c:.2}"),
        c if c < 99.95 => format!("{c:.1}"),
        c => format!("{c:.0}"),
    }
}

/// A part of a whole, 0 to 1.
pub fn percent(part: f64) -> String {
    match part * 100.0 {
        p if p <= 0.0 => "0 %".into(),
        p if p < 0.5 => "<1 %".into(),
        p => format!("{p:.0} %"),
    }
}

/// A length of time in seconds.
pub fn span(seconds: f64) -> String {
    match seconds {
        s if s <= 0.0 => "0 s".into(),
        s if s < 0.000_000_5 => "<1 µs".into(),
        s if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        s if s < 0.009_95 => rounded(s * 1e3, "ms"),
        s if s < 0.999_5 => format!("{:.0} ms", s * 1e3),
        s if s < 9.95 => rounded(s, "s"),
        s if s < 119.5 => format!("{s:.0} s"),
        s if s < 7_170.0 => format!("{:.0} min", s / 60.0),
        s => rounded(s / 3600.0, "h"),
    }
}

/// So many per second.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r <= 0.0 => "0".into(),
        r if r < 0.05 => "<0.1".into(),
        r if r < 9.95 => format!("{r:.1}"),
        r => format!("{r:.0}"),
    }
}

/// A ratio.
pub fn times(ratio: f64) -> String {
    if ratio < 9.95 {
        format!("{ratio:.1}x")
    } else {
        format!("{ratio:.0}x")
    }
}

/// A count with its noun.
pub fn count(number: usize, one: &str, more: &str) -> String {
    let noun = if number == 1 { one } else { more };
    format!("{number} {noun}")
}

/// One digit behind the point, unless it is 0.
fn rounded(value: f64, unit: &str) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    format!("{text} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> = [0.0, 0.001, 0.2, 1.0, 9.999, 64.0, 256.0].map(cpus).into();
        assert_eq!(shown, ["0", "<0.01", "0.20", "1.00", "10.0", "64.0", "256"]);
        let shown: Vec<String> = [0.0, 0.001, 0.33, 1.0].map(percent).into();
        assert_eq!(shown, ["0 %", "<1 %", "33 %", "100 %"]);
        let shown: Vec<String> = [1e-8, 5e-5, 0.0025, 0.021, 1.25, 10.0, 840.0, 9000.0]
            .map(span)
            .into();
        assert_eq!(
            shown,
            [
                "<1 µs", "50 µs", "2.5 ms", "21 ms", "1.2 s", "10 s", "14 min", "2.5 h"
            ]
        );
        assert_eq!([1.6, 12.3].map(times), ["1.6x", "12x"]);
        let shown: Vec<String> = [0.0, 0.01, 0.2, 9.949, 9.96, 512.4].map(rate).into();
        assert_eq!(shown, ["0", "<0.1", "0.2", "9.9", "10", "512"]);
    }
}
