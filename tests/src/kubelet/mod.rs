//! What a kubelet makes of a host: cgroups of pods in every layout, and their names in each of the places where it tells
//! them.

mod layout;
mod objects;
mod servers;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::cgroup::Cgroup;
use crate::logs::{ContainerLog, PodLogs};

pub use layout::{LAYOUTS, Layout};

const SOCKET: &str = "/var/lib/kubelet/pods-api/pods-api.sock";
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Where a pod's names are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// gRPC on a Unix socket.
    PodsApi,
    /// The names of folders and links.
    LogFolders,
    /// `/pods` over HTTPS.
    Kubelet,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PodsApi, Self::LogFolders, Self::Kubelet];
}

/// What is told of a pod with one container.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Where.
    pub source: Source,
    /// The one in cgroup paths, with dashes.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The Deployment that it is of; a static pod is of its node.
    pub deployment: Option<String>,
    /// The name of its container.
    pub container: String,
    /// The id of that, 64 hexadecimal digits.
    pub id: String,
    hash: String,
    uid_of_api: String,
    scheme: &'static str,
}

/// All pods that there are now.
#[derive(Clone, Debug, Default)]
struct Pods(Arc<Mutex<Vec<Listed>>>);

impl Pods {
    fn told_by(&self, source: Source) -> Vec<Listed> {
        let pods = self.lock();
        let told = pods.iter().filter(|pod| pod.source == source);
        told.cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listed>> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// A node with a kubelet. Dropped, what it made goes.
#[derive(Debug)]
pub struct Node {
    root: Cgroup,
    /// Those above pods, by their path in the node.
    slices: RefCell<BTreeMap<String, Cgroup>>,
    pods: Pods,
    port: u16,
    made: Vec<PathBuf>,
}

/// A pod that is there. Dropped, it goes.
#[derive(Debug)]
pub struct Pod {
    /// What is told of it.
    pub listed: Listed,
    /// What is its container.
    pub container: Cgroup,
    /// Where the processes of that are.
    pub inside: Cgroup,
    pods: Pods,
    _logs: Option<(ContainerLog, PodLogs)>,
}

impl Node {
    /// Starts a kubelet; `None` where the host has one already.
    pub fn start() -> Option<Self> {
        if Path::new(SOCKET).exists() || Path::new(ACCOUNT).exists() {
            return None;
        }
        let [mut made, account] = [SOCKET, ACCOUNT].map(|path| missing_folders(Path::new(path)));
        made.extend(account);
        fs::create_dir_all(Path::new(SOCKET).parent().expect("a folder")).expect("this is root");
        fs::create_dir_all(ACCOUNT).expect("this is root");
        let unix = UnixListener::bind(SOCKET).expect("this is root");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = tcp.local_addr().expect("it is bound").port();
        let pods = Pods::default();
        let (tls, certificate) = certificate();
        for (name, text) in [("token", servers::TOKEN), ("ca.crt", &certificate)] {
            fs::write(Path::new(ACCOUNT).join(name), text).expect("this is root");
        }
        servers::serve(unix, tcp, tls, pods.clone());
        Some(Self {
            root: Cgroup::new().expect("a cgroup"),
            slices: RefCell::default(),
            pods,
            port,
            made,
        })
    }

    /// Where its `/pods` is.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A pod, with a number of its own in this process, whose names only that source tells.
    pub fn pod(&self, number: u32, layout: &Layout, source: Source) -> Pod {
        let uid_of_api = format!("{:08x}-0000-4000-8000-{number:012x}", process::id());
        let uid = if layout.is_static {
            format!("{:08x}{number:024x}", process::id())
        } else {
            uid_of_api.clone()
        };
        let hash = format!("{number:08x}");
        let app = format!("app-{}", number % 7);
        let listed = Listed {
            source,
            namespace: format!("team-{}", number % 5),
            name: format!("{app}-{hash}-x{number}"),
            container: format!("main-{}", number % 3),
            id: format!("{:032x}{number:032x}", process::id()),
            uid_of_api: if layout.is_static {
                uid_of_api.replacen("-0000-", "-ffff-", 1)
            } else {
                uid_of_api
            },
            uid,
            hash,
            deployment: (!layout.is_static).then_some(app),
            scheme: layout.scheme,
        };
        let logs = (source == Source::LogFolders).then(|| {
            let logs = PodLogs::new(&listed.namespace, &listed.name, &listed.uid);
            (logs.container(&listed.container, &listed.id), logs)
        });
        let fill = |path: &str| {
            path.replace("{uid_}", &listed.uid.replace('-', "_"))
                .replace("{uid}", &listed.uid)
                .replace("{id}", &listed.id)
                .replace("{node}", &format!("{:064x}", u32::MAX))
        };
        let (above, pod) = layout.pod.rsplit_once('/').unwrap_or(("", layout.pod));
        let pod = self
            .slice(&fill(above))
            .child(&fill(pod))
            .expect("a cgroup");
        let container = below(&pod, &fill(layout.container));
        let inside = below(&container, &fill(layout.inside));
        // A kubelet lists a container once it has begun.
        self.pods.lock().push(listed.clone());
        Pod {
            listed,
            container,
            inside,
            pods: self.pods.clone(),
            _logs: logs,
        }
    }

    fn slice(&self, path: &str) -> Cgroup {
        if path.is_empty() {
            return self.root.clone();
        }
        if let Some(slice) = self.slices.borrow().get(path) {
            return slice.clone();
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let slice = self.slice(above).child(name).expect("a cgroup");
        let known = slice.clone();
        self.slices.borrow_mut().insert(path.to_owned(), known);
        slice
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_file(SOCKET);
        for name in ["token", "ca.crt"] {
            let _ = fs::remove_file(Path::new(ACCOUNT).join(name));
        }
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.pods.lock().retain(|pod| pod.id != self.listed.id);
    }
}

/// The cgroup at a path below one; itself where that is empty.
fn below(cgroup: &Cgroup, path: &str) -> Cgroup {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.fold(cgroup.clone(), |cgroup, name| {
        cgroup.child(name).expect("a cgroup")
    })
}

/// The file's folders that are not there, the deepest first.
fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().filter(|folder| !folder.exists());
    above.map(Path::to_owned).collect()
}

/// Signed by itself, and the same as PEM.
fn certificate() -> (ServerConfig, String) {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let pair = pair.expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], PrivateKeyDer::from(key))
        .expect("a certificate and its key");
    (config, pair.cert.pem())
}
