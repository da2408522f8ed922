//! Pressure files of the host and of cgroups (accounting/psi.rst).

/// Microseconds with at least one waiter: the `total` of the `some` line.
pub fn some_total_us(pressure: &str) -> Option<u64> {
    total_us(pressure, "some ")
}

/// Microseconds in which all that wanted to run waited: the `total` of the `full` line.
pub fn full_total_us(pressure: &str) -> Option<u64> {
    total_us(pressure, "full ")
}

fn total_us(pressure: &str, kind: &str) -> Option<u64> {
    let line = pressure.lines().find_map(|line| line.strip_prefix(kind))?;
    line.split(' ')
        .find_map(|field| field.strip_prefix("total="))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals() {
        let text = "some avg10=0.84 avg60=3.77 avg300=2.60 total=36715186\n\
            full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(some_total_us(text), Some(36_715_186));
        assert_eq!(full_total_us(text), Some(7));
        assert_eq!(some_total_us("full avg10=0.00 total=7\n"), None);
        assert_eq!(some_total_us("some total=x\n"), None);
    }
}
