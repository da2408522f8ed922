use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use super::fixture::{Did, Host, origin};
use crate::{
    history::{AskError, History, Socket, Window, ask},
    names::Names,
};

const WINDOW: Window = Window {
    since: Duration::from_mins(1),
    until: Duration::ZERO,
};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("run/agent.sock")
    }

    fn socket(&self) -> Socket {
        Socket {
            path: self.path(),
            group: None,
        }
    }

    fn listen(&self) -> History {
        History::start_at(Some(&self.socket()), origin())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn who_asks_is_told_what_was_added() {
    runtime().block_on(async {
        let place = Place::new();
        let history = place.listen();
        let nothing = ask(&place.path(), WINDOW).await.unwrap();
        assert!(nothing.model.is_none());
        assert_eq!(nothing.origin, origin());
        let mut host = Host::new();
        for _ in 0..5 {
            history.add(&host.second(&[(2, Did::Ran(0.5))]), &Names::default());
        }
        let past = ask(&place.path(), WINDOW).await.unwrap();
        assert!(!past.extent.whole);
        let model = past.model.unwrap();
        assert_eq!(model.length, Duration::from_secs(5));
        assert_eq!(mode(&place.path()), 0o600);
        assert_eq!(mode(place.path().parent().unwrap()), 0o755);
        drop(history);
        assert!(!place.path().exists());
        let gone = ask(&place.path(), WINDOW).await.unwrap_err();
        assert!(matches!(gone, AskError::NoAgent), "{gone}");
    });
}

#[test]
fn a_group_may_ask_as_well() {
    runtime().block_on(async {
        let place = Place::new();
        let own = fs::metadata(place.0.path()).unwrap().gid();
        let socket = Socket {
            group: Some(own.to_string()),
            ..place.socket()
        };
        let _history = History::start_at(Some(&socket), origin());
        assert_eq!(mode(&place.path()), 0o660);
        assert_eq!(fs::metadata(place.path()).unwrap().gid(), own);
    });
}

#[test]
fn what_a_dead_agent_left_is_replaced_and_nothing_else() {
    runtime().block_on(async {
        let place = Place::new();
        fs::create_dir(place.path().parent().unwrap()).unwrap();
        drop(UnixListener::bind(place.path()).unwrap());
        let history = place.listen();
        assert!(ask(&place.path(), WINDOW).await.is_ok());
        // A second agent leaves the first one alone, also at its end.
        drop(place.listen());
        assert!(ask(&place.path(), WINDOW).await.is_ok());
        drop(history);
        fs::write(place.path(), "precious").unwrap();
        drop(place.listen());
        assert_eq!(fs::read_to_string(place.path()).unwrap(), "precious");
        let unknown = Socket {
            group: Some("no such group".into()),
            ..Place::new().socket()
        };
        drop(History::start_at(Some(&unknown), origin()));
        assert!(!unknown.path.exists());
    });
}

#[test]
fn those_who_say_nothing_or_nonsense_keep_nobody_else_away() {
    let runtime = runtime();
    let place = Place::new();
    let history = runtime.block_on(async { place.listen() });
    let path = place.path();
    let rest = std::thread::spawn(move || {
        let silent: Vec<UnixStream> = (0..4)
            .map(|_| UnixStream::connect(&path).unwrap())
            .collect();
        let mut long = UnixStream::connect(&path).unwrap();
        // The fifth, or one that announces 4 GiB, sees the connection end.
        let _ = long.write_all(&[0xff; 64]);
        let mut answer = Vec::new();
        let _ = long.read_to_end(&mut answer);
        assert_eq!(answer, b"");
        // The silent ones are left alone after a while.
        for mut silent in silent {
            silent.read_to_end(&mut answer).unwrap();
        }
        assert_eq!(answer, b"");
        let mut other = UnixStream::connect(&path).unwrap();
        let request = br#"{"protocol":"crosstalk.history/9"}"#;
        other
            .write_all(&(request.len() as u32).to_be_bytes())
            .unwrap();
        other.write_all(request).unwrap();
        other.read_to_end(&mut answer).unwrap();
        let said = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            said.contains("it speaks `crosstalk.history/9`, and this `crosstalk.history/2`"),
            "{said}"
        );
        let mut big = UnixStream::connect(&path).unwrap();
        big.write_all(&u32::MAX.to_be_bytes()).unwrap();
        answer.clear();
        let _ = big.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    });
    runtime.block_on(async {
        while !rest.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(ask(&place.path(), WINDOW).await.is_ok());
    });
    rest.join().unwrap();
    let _guard = runtime.enter();
    drop(history);
}
