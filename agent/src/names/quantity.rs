//! Quantities as Kubernetes writes them.

/// CPUs; `None` for what is no quantity.
pub(super) fn cpus(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "Ki" => 1024.0,
        _ => return None,
    };
    let is_number = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let number: f64 = digits.parse().ok().filter(|_| is_number)?;
    let cpus = number * factor;
    (cpus.is_finite() && cpus > 0.0).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, expected) in [
            ("100m", Some(0.1)),
            ("2", Some(2.0)),
            ("0.5", Some(0.5)),
            ("1e3", Some(1_000.0)),
            ("2k", Some(2_000.0)),
            ("500000u", Some(0.5)),
            ("0", None),
            ("-1", None),
            ("", None),
            ("m", None),
            ("inf", None),
            ("1q", None),
        ] {
            assert_eq!(cpus(text), expected, "{text}");
        }
    }
}
