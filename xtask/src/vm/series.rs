//! The kernel series that are tested, and which package of an archive is the newest of one.

use clap::ValueEnum;

use crate::setup::archive::{Archive, Source};

/// A kernel series to test on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// The oldest one promised.
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13.
    #[value(name = "6.12")]
    V6_12,
    /// The newest that Debian has, at least 7.2.
    #[value(name = "7.2")]
    V7_2,
}

/// Where a series is found, and how its versions begin.
pub(crate) struct Series {
    /// Short name, as on the command line.
    pub(crate) name: &'static str,
    /// All suites that carry it.
    pub(crate) sources: &'static [Source],
    version: Version,
}

enum Version {
    /// Begins with these numbers.
    Exactly(&'static [u32]),
    /// Is these numbers or newer.
    AtLeast(&'static [u32]),
}

impl Kernel {
    /// What is known of the series.
    pub(crate) fn series(self) -> &'static Series {
        match self {
            Self::V5_10 => &Series {
                name: "5.10",
                sources: &[Source {
                    archive: Archive::Security,
                    suite: "bullseye-security",
                }],
                version: Version::Exactly(&[5, 10]),
            },
            Self::V6_1 => &Series {
                name: "6.1",
                sources: &[
                    Source {
                        archive: Archive::Main,
                        suite: "bookworm",
                    },
                    Source {
                        archive: Archive::Security,
                        suite: "bookworm-security",
                    },
                ],
                version: Version::Exactly(&[6, 1]),
            },
            Self::V6_12 => &Series {
                name: "6.12",
                sources: &[
                    Source {
                        archive: Archive::Main,
                        suite: "trixie",
                    },
                    Source {
                        archive: Archive::Security,
                        suite: "trixie-security",
                    },
                ],
                version: Version::Exactly(&[6, 12]),
            },
            Self::V7_2 => &Series {
                name: "7.2",
                sources: &[Source {
                    archive: Archive::Main,
                    suite: "sid",
                }],
                version: Version::AtLeast(&[7, 2]),
            },
        }
    }
}

/// The flavour without drivers for real hardware: small, quick to fetch, and what clouds run.
const FLAVOUR: &str = "-cloud-amd64";
/// Packages that hold a kernel image: the plain name is an empty shell where one of the others exists.
const IMAGES: [&str; 3] = ["linux-binary-", "linux-binary-unsigned-", "linux-image-"];

impl Series {
    /// Packages with the newest kernel of the series and its modules, out of all package names of the suites.
    pub(crate) fn packages(&self, names: &[String]) -> Option<Vec<String>> {
        let releases = names.iter().filter_map(|name| release(name));
        let newest = releases
            .filter(|release| self.holds(release))
            .max_by_key(|release| numbers(release))?;
        let known = |prefix: &str| {
            names
                .iter()
                .find(|name| name.strip_prefix(prefix) == Some(newest))
                .cloned()
        };
        let image = IMAGES.into_iter().find_map(known)?;
        Some(
            std::iter::once(image)
                .chain(known("linux-modules-"))
                .collect(),
        )
    }

    fn holds(&self, release: &str) -> bool {
        let numbers = numbers(release);
        match self.version {
            Version::Exactly(start) => numbers.starts_with(start),
            Version::AtLeast(least) => numbers.as_slice() >= least,
        }
    }

    /// Whether its kernel is another one every week, with more or fewer faults.
    pub(crate) fn moves(&self) -> bool {
        matches!(self.version, Version::AtLeast(_))
    }

    /// The packages that were looked for, for messages.
    pub(crate) fn wanted(&self) -> String {
        let (numbers, or_newer) = match self.version {
            Version::Exactly(numbers) => (numbers, ""),
            Version::AtLeast(numbers) => (numbers, " or newer"),
        };
        let version = numbers
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(".");
        let suites: Vec<&str> = self.sources.iter().map(|source| source.suite).collect();
        format!(
            "linux-image-{version}.*{FLAVOUR}{or_newer} in {}",
            suites.join(" or ")
        )
    }
}

/// The kernel release in the name of an image package.
fn release(package: &str) -> Option<&str> {
    let release = IMAGES
        .into_iter()
        .find_map(|prefix| package.strip_prefix(prefix))?;
    let versioned = release.starts_with(|c: char| c.is_ascii_digit());
    (versioned && release.ends_with(FLAVOUR)).then_some(release)
}

/// All numbers before the flavour: enough to order the releases of one distribution.
fn numbers(release: &str) -> Vec<u32> {
    let version = release.strip_suffix(FLAVOUR).unwrap_or(release);
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(kernel: Kernel, names: &[&str]) -> Option<Vec<String>> {
        let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
        kernel.series().packages(&names)
    }

    #[test]
    fn the_newest_release_counts_by_its_numbers() {
        let names = [
            "linux-image-6.12.94+deb13-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64-dbg",
            "linux-image-6.12.117+deb13-cloud-amd64-unsigned",
            "linux-image-6.12.115+deb13.1-cloud-amd64",
            "linux-image-cloud-amd64",
            "linux-headers-6.12.118+deb13-cloud-amd64",
        ];
        assert_eq!(
            packages(Kernel::V6_12, &names),
            Some(vec!["linux-image-6.12.117+deb13-cloud-amd64".into()])
        );
        assert_eq!(packages(Kernel::V6_1, &names), None);
    }

    #[test]
    fn image_and_modules_may_be_packages_of_their_own() {
        let names = [
            "linux-image-7.2.13+deb14-cloud-amd64",
            "linux-binary-unsigned-7.2.13+deb14-cloud-amd64",
            "linux-modules-7.2.13+deb14-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64",
        ];
        let expected = vec![
            "linux-binary-unsigned-7.2.13+deb14-cloud-amd64".into(),
            "linux-modules-7.2.13+deb14-cloud-amd64".into(),
        ];
        assert_eq!(packages(Kernel::V7_2, &names), Some(expected));
    }

    #[test]
    fn a_later_major_version_satisfies_the_newest_series() {
        let names = [
            "linux-image-7.1.9-cloud-amd64",
            "linux-image-8.0.1-cloud-amd64",
        ];
        assert_eq!(
            packages(Kernel::V7_2, &names),
            Some(vec!["linux-image-8.0.1-cloud-amd64".into()])
        );
        assert_eq!(packages(Kernel::V7_2, &names[..1]), None);
    }
}
