//! `crosstalk doctor`: what this host lets Crosstalk observe, and what to do about the rest.

use std::time::Duration;

use anstyle::Style;
use anyhow::Context as _;
use serde::Serialize;

use crate::{
    capability::{self, Status},
    cli::{
        Exit,
        capability::Capability,
        output,
        page::{ALARM, CARE, FINE, HEADING, PLAIN, Page},
    },
    names::{self, Resolver},
    observe::{Observer, Obstacle, StartError},
    wording::figures::count,
};

const INDENT: usize = 2;
/// For sources of names.
const PATIENCE: Duration = Duration::from_secs(5);

/// What needs attention comes first.
const SECTIONS: [(&str, &[Status]); 3] = [
    ("Missing", &[Status::Broken, Status::Unsupported]),
    ("Works", &[Status::Active]),
    ("Not used", &[Status::Off]),
];

/// Tell what can be observed on this host, what cannot, why, and what to do about it.
///
/// Loads the kernel programs, looks, and removes them. Exits with 0 when all that Crosstalk needs
/// works, and with 1 when not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print a JSON document, described in docs/report.md
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let names = Resolver::of_this_host(None);
    let mut started = Observer::start();
    if let Ok(observer) = &mut started {
        observer.examine();
    }
    let (mut capabilities, error) = match &started {
        Ok(observer) => (observer.capabilities().to_vec(), None),
        Err(error) => (error.capabilities.clone(), Some(error)),
    };
    let names = names
        .map(|names| names.latest(PATIENCE))
        .unwrap_or_default();
    capabilities.push(names::capability(&names));
    let capabilities = capabilities.as_slice();
    if args.json {
        output::write_json(&document(capabilities, error))?;
    } else {
        let text = render(capabilities, error, output::width());
        output::write(&text).context("cannot write")?;
    }
    Ok(match error {
        None => Exit::Ran,
        Some(_) => Exit::Failure,
    })
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    works: bool,
    sentence: String,
    obstacle: Option<&'static str>,
    remedy: Option<&'a str>,
    agent_version: &'static str,
    capabilities: Vec<Capability<'a>>,
}

fn document<'a>(
    capabilities: &'a [capability::Capability],
    error: Option<&'a StartError>,
) -> Document<'a> {
    let (verdict, rest) = headline(capabilities, error);
    Document {
        schema: "crosstalk.doctor/1",
        works: error.is_none(),
        sentence: verdict + &rest,
        obstacle: error.map(|error| obstacle(error.obstacle)),
        remedy: error.and_then(|error| error.remedy.as_deref()),
        agent_version: env!("CARGO_PKG_VERSION"),
        capabilities: capabilities.iter().map(Capability::of).collect(),
    }
}

fn render(
    capabilities: &[capability::Capability],
    error: Option<&StartError>,
    width: Option<usize>,
) -> String {
    let mut page = Page::new(width);
    let style = if error.is_none() { FINE } else { ALARM };
    let (verdict, rest) = headline(capabilities, error);
    page.led(0, style, &verdict, &rest);
    if let Some(remedy) = error.and_then(|error| error.remedy.as_ref()) {
        page.led(INDENT, HEADING, "what to do:", &format!(" {remedy}"));
    }
    for (title, statuses) in SECTIONS {
        section(&mut page, title, statuses, capabilities);
    }
    page.finish()
}

fn section(
    page: &mut Page,
    title: &str,
    statuses: &[Status],
    capabilities: &[capability::Capability],
) {
    let mut of_it = capabilities
        .iter()
        .filter(|capability| statuses.contains(&capability.status))
        .peekable();
    if of_it.peek().is_none() {
        return;
    }
    page.gap();
    page.heading(title);
    for capability in of_it {
        one(page, capability);
    }
}

fn one(page: &mut Page, capability: &capability::Capability) {
    let status = match (capability.status, capability.required) {
        (Status::Active | Status::Off, _) => String::new(),
        (status, true) => format!("{}, and required; ", status.name()),
        (status, false) => format!("{}; ", status.name()),
    };
    let text = format!(" ({}): {status}{}", capability.intent, capability.detail);
    page.led(INDENT, style(capability), &capability.name, &text);
    if let Some(remedy) = &capability.remedy {
        page.led(2 * INDENT, HEADING, "what to do:", &format!(" {remedy}"));
    }
}

fn style(capability: &capability::Capability) -> Style {
    match (capability.status, capability.required) {
        (Status::Active, _) => FINE,
        (Status::Unsupported | Status::Broken, true) => ALARM,
        (Status::Unsupported | Status::Broken, false) => CARE,
        (Status::Off, _) => PLAIN,
    }
}

fn headline(
    capabilities: &[capability::Capability],
    error: Option<&StartError>,
) -> (String, String) {
    if let Some(error) = error {
        return (
            "Crosstalk cannot observe this host:".into(),
            format!(" {error}"),
        );
    }
    let missing = capabilities
        .iter()
        .filter(|capability| matches!(capability.status, Status::Unsupported | Status::Broken));
    let rest = match missing.count() {
        0 => "; all parts work".into(),
        number => format!(
            "; {} that it can do without",
            count(number, "part is missing", "parts are missing")
        ),
    };
    ("Crosstalk can observe this host".into(), rest)
}

fn obstacle(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Privilege => "privilege",
        Obstacle::Unsupported => "unsupported",
        Obstacle::Broken => "broken",
    }
}
