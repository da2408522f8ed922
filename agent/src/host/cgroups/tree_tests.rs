//! Random changes to a tree in a temporary folder, against a plain walk.

use std::fs;

use super::*;

const ROUNDS: usize = 300;

#[test]
fn every_change_between_scans_is_seen() {
    let root = tempfile::tempdir().unwrap();
    let mut tree = Tree::new(root.path().to_owned());
    let mut random = Random(88_172_645_463_325_252);
    for round in 0..ROUNDS {
        for _ in 0..random.below(6) {
            change(root.path(), &mut random);
        }
        tree.scan(Duration::from_secs(round as u64)).unwrap();
        assert_eq!(existing(&tree), walked(root.path()));
    }
}

fn change(root: &Path, random: &mut Random) {
    let names = [(); 3].map(|()| random.below(3).to_string());
    let path = root.join(names[..=random.below(3)].join("/"));
    // Some changes are impossible in the present tree, and then none.
    let _ = match random.below(3) {
        0 => fs::remove_dir_all(path),
        1 => fs::rename(path, root.join(random.below(3).to_string())),
        _ => fs::create_dir_all(path),
    };
}

fn existing(tree: &Tree) -> Vec<OsString> {
    let exists = |id: &CgroupId| tree.existing_path(*id).is_some();
    let ids = tree.known.keys().filter(|id| exists(id));
    let mut paths: Vec<OsString> = ids
        .map(|id| tree.path(*id).unwrap().to_os_string())
        .collect();
    paths.sort();
    paths
}

fn walked(root: &Path) -> Vec<OsString> {
    let mut folders = vec![root.to_owned()];
    let mut paths = vec![OsString::from("/")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            paths.push(format!("/{}", path.strip_prefix(root).unwrap().display()).into());
            folders.push(path);
        }
    }
    paths.sort();
    paths
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % limit
    }
}
