use super::*;
use crate::names::{Container, Pod};

/// Tells what it is sent; hangs until there is something.
struct Told(mpsc::Receiver<Result<Facts, Error>>);

impl Source for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn read(&mut self) -> Result<Facts, Error> {
        self.0.recv().unwrap_or(Err(Error::Absent))
    }
}

fn told(containers: &[(&str, &str)]) -> Facts {
    let container = |name: &str| Container {
        name: Some(name.into()),
        ..Container::default()
    };
    let containers = containers.iter();
    Facts {
        containers: containers
            .map(|(id, name)| ((*id).into(), container(name)))
            .collect(),
        ..Facts::default()
    }
}

fn reader(rounds: Vec<Result<Facts, Error>>) -> Reader {
    let (tell, source) = mpsc::channel();
    for round in rounds {
        tell.send(round).unwrap();
    }
    Reader::new(vec![Box::new(Told(source))])
}

#[test]
fn a_source_that_hangs_keeps_nobody() {
    let (tell, source) = mpsc::channel();
    let resolver = Resolver::start(vec![Box::new(Told(source))]).unwrap();
    assert_eq!(resolver.names().rounds, 0);
    assert_eq!(resolver.latest(Duration::from_millis(10)).rounds, 0);
    for _ in 0..3 {
        tell.send(Ok(told(&[("1", "web")]))).unwrap();
    }
    let names = resolver.latest(Duration::from_mins(1));
    assert_eq!(names.facts.containers["1"].name.as_deref(), Some("web"));
}

#[test]
fn unknown_names_are_filled_in_later() {
    let nameless = Facts {
        containers: [("1".to_owned(), Container::default())].into(),
        ..Facts::default()
    };
    let mut reader = reader(vec![Ok(nameless), Ok(told(&[("1", "web")]))]);
    let now = Instant::now();
    assert_eq!(reader.round(now).facts.containers["1"].name, None);
    let names = reader.round(now);
    assert_eq!(names.facts.containers["1"].name.as_deref(), Some("web"));
}

#[test]
fn failures_are_counted_and_names_stay_for_a_while() {
    let failed = || Err(Error::Failed("no answer".into()));
    let mut reader = reader(vec![
        Ok(told(&[("1", "web")])),
        failed(),
        failed(),
        Ok(told(&[("2", "db")])),
    ]);
    let start = Instant::now();
    reader.round(start);
    reader.round(start);
    let names = reader.round(start + REMEMBERED / 2);
    assert!(names.facts.containers.contains_key("1"));
    assert_eq!(names.sources[0].failures, 2);
    assert_eq!(
        names.sources[0].state,
        SourceState::Failed("no answer".into())
    );
    let names = reader.round(start + REMEMBERED);
    let left: Vec<&String> = names.facts.containers.keys().collect();
    assert_eq!(left, ["2"]);
    assert_eq!(names.sources[0].failures, 2);
}

#[test]
fn the_first_source_counts_and_others_fill_in() {
    let mut first = told(&[("1", "web")]);
    let mut other = told(&[("1", "k8s_web"), ("2", "db")]);
    other.containers.get_mut("1").unwrap().pod = Some("shop".into());
    other.pods.insert("p".into(), Pod::default());
    first.fill(&other);
    assert_eq!(first.containers["1"].name.as_deref(), Some("web"));
    assert_eq!(first.containers["1"].pod.as_deref(), Some("shop"));
    assert_eq!(first.containers["2"].name.as_deref(), Some("db"));
    assert!(first.pods.contains_key("p"));
}

#[test]
fn no_more_than_so_many_are_remembered() {
    let many = |from: usize| {
        let ids: Vec<String> = (from..from + MOST).map(|n| format!("{n:08}")).collect();
        let pairs: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "x")).collect();
        told(&pairs)
    };
    let mut reader = reader(vec![Ok(many(0)), Ok(many(MOST / 2))]);
    let start = Instant::now();
    reader.round(start);
    let names = reader.round(start + Duration::from_secs(1));
    assert_eq!(names.facts.containers.len(), MOST);
    assert!(!names.facts.containers.contains_key("00000000"));
}
