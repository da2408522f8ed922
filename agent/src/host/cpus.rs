//! Lists of CPUs as the kernel writes them: `0-3,8`.

/// More CPUs than any kernel can be built for; a larger number is damage.
const MAX_CPUS: u32 = 1 << 16;

/// The CPUs of a list, ascending; `None` where it is none. An empty list is no CPUs.
pub fn parse(list: &str) -> Option<Vec<u32>> {
    let list = list.trim();
    let mut cpus = Vec::new();
    for part in list.split(',').filter(|_| !list.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.parse::<u32>().ok()?, to.parse::<u32>().ok()?);
        if from > to || to >= MAX_CPUS {
            return None;
        }
        cpus.extend(from..=to);
        if cpus.len() > MAX_CPUS as usize {
            return None;
        }
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        for (list, cpus) in [
            ("0-3,8\n", Some(vec![0, 1, 2, 3, 8])),
            ("0", Some(vec![0])),
            ("\n", Some(vec![])),
            ("5,1-2,2", Some(vec![1, 2, 5])),
            ("3-1", None),
            ("a", None),
            ("0-", None),
            ("0,,1", None),
            ("-1", None),
            ("0-4294967295", None),
        ] {
            assert_eq!(parse(list), cpus, "{list:?}");
        }
    }
}
