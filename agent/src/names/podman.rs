//! Files of containers/storage, which podman and CRI-O keep:
//! `<root>/<driver>-containers/containers.json`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    facts::{Container, Facts, container_id, container_name},
    managed,
    source::{Error, Source, bytes, names_in},
};

/// Containers that do not outlive a boot are in a list of their own.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// The folder of containers/storage.
pub struct Podman {
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

impl Podman {
    /// `/var/lib/containers/storage` on a host.
    pub fn new(folder: &Path) -> Podman {
        Podman {
            folder: folder.to_owned(),
        }
    }
}

impl Source for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn read(&mut self) -> Result<Facts, Error> {
        let mut facts = Facts::default();
        let folders = names_in(&self.folder)?;
        let folders = folders.iter().filter(|name| name.ends_with("-containers"));
        for path in folders.flat_map(|name| LISTS.map(|list| self.folder.join(name).join(list))) {
            match bytes(&path) {
                Ok(list) => facts.fill(&containers(&path, &list)?),
                Err(Error::Absent) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(facts)
    }
}

fn containers(path: &Path, list: &[u8]) -> Result<Facts, Error> {
    let entries: Vec<Entry> = serde_json::from_slice(list)
        .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
    let containers = entries.iter().filter_map(|entry| {
        let name = entry.names.first()?;
        let container = managed::of_kubernetes(name).or_else(|| {
            Some(Container {
                name: Some(container_name(name)?),
                ..Container::default()
            })
        })?;
        Some((container_id(&entry.id)?, container))
    });
    Ok(Facts {
        containers: containers.collect(),
        ..Facts::default()
    })
}
