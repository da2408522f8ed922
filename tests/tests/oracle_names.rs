//! Names and relations of containers, from cgroups and log folders as a kubelet leaves them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tests::capability::test_cpu;
use tests::cgroup::Cgroup;
use tests::container::Container;
use tests::load::{Load, Plan};
use tests::report::{Document, crosstalk};
use tests::shape::{Mode, Shape};
use tests::stage::observe;

fn spinner(cgroup: &Cgroup) -> Load {
    start(Shape::new(Mode::Spin).wall(Duration::from_secs(3)), cgroup)
}

fn start(shape: Shape, cgroup: &Cgroup) -> Load {
    Plan::new(shape, cgroup)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts")
}

fn row_of<'a>(container: &Container, report: &'a Document) -> &'a Value {
    let path = container.cgroup.path();
    let rows = report.entities().iter();
    let mut rows = rows.filter(|row| row["cgroup"]["path"] == path);
    rows.next().unwrap_or_else(|| panic!("no row of {path}"))
}

#[test]
fn containers_have_names_and_relations() {
    let root = Cgroup::new().expect("a cgroup");
    let kubepods = root.child("kubepods").expect("a cgroup");
    let burstable = kubepods.child("burstable").expect("a cgroup");
    let web = Container::new(&burstable, 1, ["shop", "checkout-7d9f-x2", "app"]);
    let batch = Container::new(&burstable, 2, ["blog", "encoder-0", "main"]);
    // Parts of a container are the container.
    let inner = batch.cgroup.child("init.scope").expect("a cgroup");
    let mut loads = [spinner(&web.cgroup), spinner(&inner)];
    let seen = observe(&mut loads);

    let row = row_of(&web, &seen.report);
    assert_eq!(row["kind"], "container");
    assert_eq!(row["name"], "shop/checkout-7d9f-x2/app");
    let labels = &row["labels"];
    for (label, expected) in [
        ("namespace", json!("shop")),
        ("pod", json!("checkout-7d9f-x2")),
        ("container", json!("app")),
        ("qos", json!("burstable")),
        ("service_namespace", json!("shop")),
        // Log folders do not tell whose the pod is.
        ("workload", Value::Null),
        ("service_name", Value::Null),
    ] {
        assert_eq!(labels[label], expected, "{label} in {labels}");
    }
    assert_eq!(row_of(&batch, &seen.report)["name"], "blog/encoder-0/main");

    let blame =
        seen.report.blame_rows().iter().find(|row| {
            row["victim"] == web.cgroup.path() && row["culprit"] == batch.cgroup.path()
        });
    let blame =
        blame.unwrap_or_else(|| panic!("no blame: {}", seen.report.describe(&web.cgroup.path())));
    assert_eq!(blame["relation"], "other");

    let capabilities = seen.report.0["capabilities"].as_array();
    let mut capabilities = capabilities.into_iter().flatten();
    let names = capabilities.find(|row| row["name"] == "names");
    let names = names.expect("a row about names");
    assert_eq!(names["status"], "active", "{names}");

    // However long the agent takes to start.
    let mut load = start(Shape::new(Mode::Spin), &web.cgroup);
    load.go();
    let resource = resource_of(&web.id);
    load.stop();
    for (key, expected) in [
        ("k8s.namespace.name", Some("shop")),
        ("k8s.pod.name", Some("checkout-7d9f-x2")),
        ("k8s.container.name", Some("app")),
        ("service.namespace", Some("shop")),
        ("service.instance.id", Some(&web.id)),
        // A pod's or container's name would keep a collector from what it knows better.
        ("service.name", None),
    ] {
        let told = resource.get(key).map(String::as_str);
        assert_eq!(told, expected, "{key} in {resource:?}");
    }
}

/// Attributes of a container in what the agent exports.
fn resource_of(id: &str) -> BTreeMap<String, String> {
    let output = crosstalk(&["agent", "--once", "--stdout", "--interval", "2s"]).output();
    let output = output.expect("the binary starts");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let resources = json["resourceMetrics"].as_array().expect("a list").iter();
    let mut resources = resources.map(|one| {
        let attributes = one["resource"]["attributes"].as_array().expect("a list");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let pairs = attributes.iter();
        pairs
            .map(|one| (text(&one["key"]), text(&one["value"]["stringValue"])))
            .collect::<BTreeMap<_, _>>()
    });
    let wanted = resources.find(|one| one.get("container.id").is_some_and(|it| it == id));
    wanted.unwrap_or_else(|| panic!("no resource of {id}"))
}
