//! Who is there, and since when.

use std::{sync::Arc, time::Duration};

use crate::model::{Key, Row};

/// All entities of the latest reading, in the order of their rows.
#[derive(Debug, Default)]
pub(super) struct Roster(Vec<Member>);

#[derive(Debug)]
struct Member {
    who: Arc<Row>,
    since: Duration,
}

impl Roster {
    /// Takes in the rows of a reading that began at `from`. Rows are in the order of their keys.
    pub(super) fn update(&mut self, rows: &[Row], from: Duration) {
        let mut old = std::mem::take(&mut self.0).into_iter().peekable();
        let member = |row: &Row| {
            while old.next_if(|member| member.who.key < row.key).is_some() {}
            let known = old.next_if(|member| member.who.key == row.key);
            let since = known.as_ref().map_or(from, |member| member.since);
            // Names come later than rows.
            let same = known.filter(|member| is_called(&member.who, row));
            let who = same.map_or_else(|| Arc::new(without_deeds(row)), |member| member.who);
            Member { who, since }
        };
        self.0 = rows.iter().map(member).collect();
    }

    /// Who a row is.
    pub(super) fn who(&self, row: usize) -> &Arc<Row> {
        &self.0[row].who
    }

    /// For how long it has been there at `from`.
    pub(super) fn age(&self, row: usize, from: Duration) -> Duration {
        from.saturating_sub(self.0[row].since)
    }

    /// The row of a key.
    pub(super) fn find(&self, key: &Key) -> Option<usize> {
        self.0
            .binary_search_by(|member| member.who.key.cmp(key))
            .ok()
    }
}

fn is_called(who: &Row, row: &Row) -> bool {
    who.name == row.name && who.labels == row.labels && who.kind == row.kind
}

/// Who it is, and nothing of what it did.
fn without_deeds(row: &Row) -> Row {
    Row {
        key: row.key.clone(),
        kind: row.kind,
        name: row.name.clone(),
        path: row.path.clone(),
        cgroup: row.cgroup,
        labels: row.labels.clone(),
        usage: None,
        waiting: None,
        entitled_s: row.entitled_s,
        contract_s: row.contract_s,
        quota_cpus: row.quota_cpus,
        cpuset: None,
        bandwidth: None,
        disk: None,
        io: None,
    }
}
