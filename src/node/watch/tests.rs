use std::os::unix::fs::symlink;
use std::time::Instant;

use super::*;

/// Bounds each wait; it is no part of any result.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node's workers, each with a watcher of its own.
fn name() -> String {
    format!("kong-vault-watch-test-{}-{}", std::process::id(), fastrand::u64(..))
}

/// Waits until something of that name is told of. Returns after how long.
async fn until(changes: &mut UnboundedReceiver<String>, path: &str) -> Duration {
    let start = Instant::now();
    loop {
        let told = tokio::time::timeout(PATIENCE, changes.recv()).await;
        if told.unwrap_or_else(|_| panic!("nobody tells of {path:?}")).unwrap() == path {
            return start.elapsed();
        }
    }
}

/// Drops what was told by now.
fn drain(changes: &mut UnboundedReceiver<String>) {
    while changes.try_recv().is_ok() {}
}

/// What replaces a volume of Kubernetes.
fn publish(volume: &Path, version: u32) {
    let data = format!("..v{version}");
    std::fs::create_dir(volume.join(&data)).unwrap();
    std::fs::write(volume.join(&data).join("key"), version.to_string()).unwrap();
    symlink(&data, volume.join("..data_tmp")).unwrap();
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    let _ = std::fs::remove_dir_all(volume.join(format!("..v{}", version - 1)));
}

/// How many inotify instances this process has.
fn instances() -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("inotify")).count()
}

#[tokio::test]
async fn all_workers_hear_of_what_one_watches() {
    let folder = tempfile::tempdir().unwrap();
    let (name, root) = (name(), folder.path());
    let before = instances();
    let mut workers: Vec<_> = (0..3).map(|_| Watch::with(Watcher::start(name.clone()), root)).collect();
    for (watch, changes) in &mut workers {
        watch.add("");
        until(changes, "").await;
    }
    assert_eq!(instances() - before, 1, "one instance for all workers");
    for (_, changes) in &mut workers {
        drain(changes);
    }
    std::fs::write(root.join("file"), "one").unwrap();
    for (_, changes) in &mut workers {
        until(changes, "file").await;
    }
    std::fs::write(root.join("other"), "two").unwrap();
    std::fs::rename(root.join("other"), root.join("file")).unwrap();
    for (_, changes) in &mut workers {
        until(changes, "file").await;
    }
    publish(root, 1);
    publish(root, 2);
    for (_, changes) in &mut workers {
        until(changes, "").await;
    }
}

#[tokio::test]
async fn a_directory_that_comes_late_or_is_made_anew_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let (watch, mut changes) = Watch::with(Watcher::start(name()), &root);
    watch.add("");
    watch.add("volume");
    until(&mut changes, "volume").await;
    std::fs::create_dir_all(root.join("volume")).unwrap();
    for version in 1..4 {
        until(&mut changes, "volume").await;
        // It is watched by now, or will be, and is told of then.
        std::fs::write(root.join("volume/key"), version.to_string()).unwrap();
        until(&mut changes, "volume/key").await;
        std::fs::rename(&root, folder.path().join(format!("old{version}"))).unwrap();
        std::fs::create_dir_all(root.join("volume")).unwrap();
    }
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::create_dir_all(root.join("volume")).unwrap();
    until(&mut changes, "volume").await;
}

#[tokio::test]
async fn a_link_that_is_set_to_another_directory_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for release in ["one", "two"] {
        std::fs::create_dir(root.join(release)).unwrap();
    }
    symlink("one", root.join("current")).unwrap();
    let (watch, mut changes) = Watch::with(Watcher::start(name()), root);
    watch.add("");
    watch.add("current");
    until(&mut changes, "current").await;
    symlink("two", root.join("next")).unwrap();
    std::fs::rename(root.join("next"), root.join("current")).unwrap();
    until(&mut changes, "current").await;
    // Once for the link, once for the directory that is watched anew.
    until(&mut changes, "current").await;
    std::fs::write(root.join("two/key"), "x").unwrap();
    until(&mut changes, "current/key").await;
}

#[tokio::test]
async fn a_root_behind_a_link_is_followed_to_another_directory() {
    let folder = tempfile::tempdir().unwrap();
    for release in ["one", "two", "three"] {
        std::fs::create_dir_all(folder.path().join(release).join("root/volume")).unwrap();
    }
    let link = |target: &str, name: &str| {
        symlink(target, folder.path().join("next")).unwrap();
        std::fs::rename(folder.path().join("next"), folder.path().join(name)).unwrap();
    };
    // The root is a link itself, or there is one above it.
    for (current, target, root) in [("itself", "/root", "itself"), ("above", "", "above/root")] {
        link(&format!("one{target}"), current);
        let (watch, mut changes) = Watch::with(Watcher::start(name()), &folder.path().join(root));
        watch.add("");
        watch.add("volume");
        until(&mut changes, "volume").await;
        for release in ["two", "three"] {
            drain(&mut changes);
            link(&format!("{release}{target}"), current);
            until(&mut changes, "").await;
            until(&mut changes, "volume").await;
            std::fs::write(folder.path().join(release).join("root/volume/key"), "x").unwrap();
            until(&mut changes, "volume/key").await;
        }
    }
}

#[tokio::test]
async fn where_the_leader_ends_another_takes_over_and_nothing_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let (name, root) = (name(), folder.path().to_owned());
    let (leads, leader) = tokio::sync::oneshot::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let (of_leader, to_watch) = (name.clone(), root.clone());
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (watch, mut changes) = Watch::with(Watcher::start(of_leader), &to_watch);
            watch.add("");
            until(&mut changes, "").await;
            leads.send(()).unwrap();
            let _ = ended.await;
        });
    });
    leader.await.unwrap();
    let (watch, mut changes) = Watch::with(Watcher::start(name), &root);
    watch.add("");
    until(&mut changes, "").await;
    drain(&mut changes);
    // As it ends with its process.
    drop(end);
    thread.join().unwrap();
    until(&mut changes, "").await;
    std::fs::write(root.join("file"), "one").unwrap();
    until(&mut changes, "file").await;
}

/// Whether an inotify instance of this process watches a directory.
fn is_watched(inode: u64) -> bool {
    let infos = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
    let mut texts = infos.filter_map(|info| std::fs::read_to_string(info.path()).ok());
    texts.any(|text| text.contains(&format!(" ino:{inode:x} ")))
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_forgotten_and_what_is_wanted_anew_is_reported() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let inode = std::fs::metadata(folder.path()).unwrap().ino();
    let name = name();
    let (one, other) = (Watcher::start(name.clone()), Watcher::start(name));
    let (mine, mut changes) = Watch::with(one, folder.path());
    let (theirs, mut of_others) = Watch::with(other, folder.path());
    mine.add("");
    theirs.add("");
    until(&mut changes, "").await;
    until(&mut of_others, "").await;
    drop(mine);
    // Another worker wants it still.
    std::fs::write(folder.path().join("file"), "one").unwrap();
    until(&mut of_others, "file").await;
    assert!(is_watched(inode));
    drop(theirs);
    let start = Instant::now();
    while is_watched(inode) {
        assert!(start.elapsed() < PATIENCE, "it is watched for nobody");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..3 {
        // Also where the leader has not heard yet that it was dropped.
        let (again, mut changes) = Watch::with(one, folder.path());
        again.add("");
        until(&mut changes, "").await;
        std::fs::write(folder.path().join("file"), "two").unwrap();
        until(&mut changes, "file").await;
    }
}

#[tokio::test]
async fn nobody_is_told_of_what_he_does_not_listen_to() {
    let (mine, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let watcher = Watcher::start(name());
    let (watch, mut changes) = Watch::with(watcher, mine.path());
    let (theirs, mut of_others) = Watch::with(watcher, other.path());
    watch.add("");
    theirs.add("");
    until(&mut changes, "").await;
    until(&mut of_others, "").await;
    std::fs::write(other.path().join("file"), "").unwrap();
    until(&mut of_others, "file").await;
    std::fs::write(mine.path().join("last"), "").unwrap();
    until(&mut changes, "last").await;
    assert!(changes.try_recv().is_err());
    drop((watch, theirs));
    assert!(lock(&watcher.wishes).directories.is_empty());
}
