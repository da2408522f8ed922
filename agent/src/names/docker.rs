//! Docker's own files: `<root>/containers/<id>/config.v2.json`. Its socket, which is as good as
//! root, is left alone.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    facts::{Container, Facts, container_id, container_name},
    managed,
    source::{Error, Source, bytes, names_in},
};

/// Docker's folder.
pub struct Docker {
    folder: PathBuf,
    /// Names seldom change: each file is read once in a container's life.
    read: BTreeMap<String, Container>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Name")]
    name: String,
}

impl Docker {
    /// `/var/lib/docker` on a host.
    pub fn new(folder: &Path) -> Docker {
        Docker {
            folder: folder.join("containers"),
            read: BTreeMap::new(),
        }
    }

    fn container(&self, id: &str) -> Result<Option<Container>, Error> {
        let path = self.folder.join(id).join("config.v2.json");
        let config = match bytes(&path) {
            Ok(config) => config,
            // It went meanwhile.
            Err(Error::Absent) => return Ok(None),
            Err(error) => return Err(error),
        };
        let config: Config = serde_json::from_slice(&config)
            .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
        let name = config.name.trim_start_matches('/');
        Ok(managed::of_kubernetes(name).or_else(|| {
            Some(Container {
                name: Some(container_name(name)?),
                ..Container::default()
            })
        }))
    }
}

impl Source for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn read(&mut self) -> Result<Facts, Error> {
        let ids = names_in(&self.folder)?;
        let ids: Vec<String> = ids.iter().filter_map(|name| container_id(name)).collect();
        let mut known = BTreeMap::new();
        let mut failed = None;
        for id in ids {
            let read = match self.read.remove(&id) {
                Some(container) => Ok(Some(container)),
                None => self.container(&id),
            };
            match read {
                Ok(container) => known.extend(container.map(|container| (id, container))),
                Err(error) => failed = Some(error),
            }
        }
        self.read.clone_from(&known);
        // Files that cannot be read hide those that can only when there are none.
        match failed {
            Some(error) if known.is_empty() => Err(error),
            _ => Ok(Facts {
                containers: known,
                ..Facts::default()
            }),
        }
    }
}
