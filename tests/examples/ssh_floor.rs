//! What work on hosts costs: commands on an open connection, through a jump host, on fifty hosts in one run, what that
//! takes in memory, and how fast logs come, against OpenSSH's own client with a shared connection, in rotating rounds of
//! one run. The hosts are sshds on loopback in namespaces of their own: only the ratios mean something elsewhere.
//!
//! `ssh_floor [DIR] [ROUNDS]`: DIR is where all of it writes. Needs root, `ssh` and `sshd`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_core::hosts::{Hop, Key, KnownHosts, Route};
use weir_core::ids::RunId;
use weir_core::job_types::JobTypes;
use weir_core::run::RunState;
use weir_engine::begin::Begin;
use weir_engine::engine::{Config, Engine};
use weir_engine::home::{Home, HomeLock};
use weir_engine::library::{Library, Loaded, Source};
use weir_engine::processes::Program;
use weir_plugins::{Pool, SshBounds};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const HOSTS: usize = 50;
const BIG: u64 = 256_000_000;
const SOON: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    if let Some(code) = weir_engine::supervise::dispatch() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    match measure(&dir, rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("ssh_floor: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    let _nobody = writeln!(io::stdout(), "{line}");
}

fn measure(dir: &Path, rounds: usize) -> Outcome<()> {
    let site = Site::up(dir)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(connections(&site))?;
    let pool = site.pool();
    site.masters()?;
    commands(&site, &runtime, &pool, rounds)?;
    runtime.block_on(flows(&site, rounds))
}

/// What fifty connections take.
async fn connections(site: &Site) -> Outcome<()> {
    let pool = site.pool();
    // The first one brings what all of them share.
    pool.run(&site.route(&[0]), "true", SOON).await.map_err(told)?;
    let before = resident_kib()?;
    for host in 1..HOSTS {
        pool.run(&site.route(&[host]), "true", SOON).await.map_err(told)?;
    }
    let each = resident_kib()?.saturating_sub(before) * 1024 / (HOSTS as u64 - 1);
    say(&format!("a connection: {} kB of memory (asked: at most 150)", each / 1000));
    Ok(())
}

/// Single commands: on an open connection, and through a jump host.
fn commands(
    site: &Site,
    runtime: &tokio::runtime::Runtime,
    pool: &Arc<Pool>,
    rounds: usize,
) -> Outcome<()> {
    // A jump host that only hands on.
    let (near, far) = (site.route(&[0]), site.route(&[2, 1]));
    let ours = |route: &Route| -> Outcome<f64> {
        let mut times = Vec::new();
        for _ in 0..20 {
            let begun = Instant::now();
            runtime.block_on(pool.run(route, "true", SOON)).map_err(told)?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(times))
    };
    let theirs = || -> Outcome<f64> {
        let mut times = Vec::new();
        for _ in 0..20 {
            let begun = Instant::now();
            good(site.ssh().args(["h0", "true"]))?;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(times))
    };
    ours(&near)?;
    ours(&far)?;
    let (mut direct, mut through, mut master) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        direct.push(ours(&near)?);
        master.push(theirs()?);
        through.push(ours(&far)?);
    }
    say(&format!(
        "a command on an open connection: {:.1} ms, `ssh` with a shared connection {:.1} ms, ratio {:.2} (asked: at most 0.5)",
        median(direct.clone()),
        median(master.clone()),
        ratio(&direct, &master)
    ));
    say(&format!("through a jump host: {:.1} ms (asked: under 10)", median(through)));
    Ok(())
}

/// What goes through the engine: fifty hosts in one run, their memory, logs.
async fn flows(site: &Site, rounds: usize) -> Outcome<()> {
    let library = Library::new(JobTypes::new(weir_plugins::all()), Vec::new())
        .map_err(|_| "an empty catalogue has no mistakes")?;
    let library = Arc::new(library);
    let home = Home::open(&site.path("home"))?;
    let _lock = HomeLock::take(&home, "ssh_floor")?;
    let config = Config {
        home,
        slots: 64,
        library: Arc::clone(&library),
        program: Program::this(),
        takes_up: true,
    };
    let engine = Engine::start(config).await?;
    let stage = Stage { site, library, engine };
    let attached = stage.load("attached", "all", "script: 'true', attached: true")?;
    let detached = stage.load("detached", "all", "script: 'true'")?;
    // First: later it would find room that others have left.
    stage.memory().await?;
    // Connections are made, here as there.
    stage.run(&attached).await?;
    let fan = || -> Outcome<f64> {
        let begun = Instant::now();
        let mut names = String::new();
        for host in 0..HOSTS {
            writeln!(names, "h{host}")?;
        }
        let mut xargs = Command::new("xargs");
        xargs.args(["-P", "50", "-I{}", "ssh", "-F"]).arg(site.path("ssh_config"));
        xargs.args(["{}", "true"]).stdin(Stdio::piped());
        let mut child = xargs.spawn()?;
        child.stdin.take().expect("it was asked for").write_all(names.as_bytes())?;
        if !child.wait()?.success() {
            return Err("xargs failed".into());
        }
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    };
    let (mut one, mut two, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        floor.push(fan()?);
        one.push(stage.run(&attached).await?);
        two.push(stage.run(&detached).await?);
    }
    say(&format!(
        "{HOSTS} hosts in one run: attached {:.0} ms, detached {:.0} ms; `xargs -P 50 ssh` {:.0} ms; ratios {:.2} and {:.2} \
         (asked: at most 0.6)",
        median(one.clone()),
        median(two.clone()),
        median(floor.clone()),
        ratio(&one, &floor),
        ratio(&two, &floor)
    ));
    stage.stream(rounds.min(3)).await?;
    stage.latency().await?;
    stage.engine.stop().await;
    Ok(())
}

/// An engine with the hosts as its project's.
struct Stage<'a> {
    site: &'a Site,
    library: Arc<Library>,
    engine: Engine,
}

impl Stage<'_> {
    fn load(&self, name: &str, hosts: &str, with: &str) -> Outcome<Loaded> {
        let file = self.site.path(&format!("{name}.flow.yaml"));
        let text = format!(
            "name: {name}\njobs:\n  work: {{ uses: ssh, with: {{ hosts: {hosts}, {with} }} }}\n"
        );
        fs::write(&file, text)?;
        let source = Source::read(&file)?;
        self.library
            .load(&source)
            .map_err(|mistakes| weir_engine::api::render_mistakes(&mistakes, &source).into())
    }

    async fn begin(&self, loaded: &Loaded) -> Outcome<RunId> {
        Ok(self.engine.handle().begin(Begin::flow(loaded.clone(), "bench")).await?)
    }

    async fn ended(&self, run: RunId) -> Outcome<()> {
        self.engine.handle().ended(run).await;
        let state = self.engine.handle().store().run(run).await?.map(|run| run.state);
        if state == Some(RunState::Succeeded.code()) {
            Ok(())
        } else {
            Err(format!("the run ended in state {state:?}").into())
        }
    }

    /// From its begin to its end, in milliseconds.
    async fn run(&self, loaded: &Loaded) -> Outcome<f64> {
        let begun = Instant::now();
        let run = self.begin(loaded).await?;
        self.ended(run).await?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }

    fn log(&self, run: RunId) -> PathBuf {
        self.site.path(&format!("home/runs/{}/0.1/log", run.0))
    }

    /// What a task on a host takes while it runs, its connection included.
    async fn memory(&self) -> Outcome<()> {
        let (up, go) = (self.site.path("up"), self.site.path("go"));
        fs::create_dir(&up)?;
        let script = format!(
            "script: 'mkdir {}/$$; until [ -e {} ]; do sleep 0.2; done'",
            up.display(),
            go.display()
        );
        let waits = self.load("waits", "all", &script)?;
        let before = resident_kib()?;
        let run = self.begin(&waits).await?;
        while fs::read_dir(&up)?.count() < HOSTS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // All of them are followed by then.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let each = resident_kib()?.saturating_sub(before) * 1024 / HOSTS as u64;
        fs::write(go, "")?;
        self.ended(run).await?;
        say(&format!(
            "a running task on a host, with its connection: {} kB of memory (asked: at most 1000)",
            each / 1000
        ));
        Ok(())
    }

    /// A log of some size, from the host into the attempt's log.
    async fn stream(&self, rounds: usize) -> Outcome<()> {
        let big = self.site.path("big");
        let mut file = File::create(&big)?;
        let line = [&[b'x'; 99][..], b"\n"].concat().repeat(10_000);
        for _ in 0..BIG / line.len() as u64 {
            file.write_all(&line)?;
        }
        drop(file);
        let loaded = self.load("stream", "h0", &format!("script: 'cat {}'", big.display()))?;
        let copy = self.site.path("copy");
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let begun = Instant::now();
            good(self.site.ssh().args(["h0", "cat"]).arg(&big).stdout(File::create(&copy)?))?;
            floor.push(begun.elapsed().as_secs_f64());
            let begun = Instant::now();
            let run = self.begin(&loaded).await?;
            self.ended(run).await?;
            ours.push(begun.elapsed().as_secs_f64());
            let came = fs::metadata(self.log(run))?.len();
            if came != BIG {
                return Err(format!("{came} bytes of {BIG} came").into());
            }
            fs::remove_file(self.log(run))?;
        }
        say(&format!(
            "a log of {} MB: {:.0} MB/s, `ssh cat > file` {:.0} MB/s, ratio {:.2} (asked: at least 0.6)",
            BIG / 1_000_000,
            BIG as f64 / 1e6 / median(ours.clone()),
            BIG as f64 / 1e6 / median(floor.clone()),
            ratio(&floor, &ours)
        ));
        Ok(())
    }

    /// From a line's write on the host until it is in the log here.
    async fn latency(&self) -> Outcome<()> {
        let script =
            "script: 'n=0; while [ $n -lt 40 ]; do date +%s%N; sleep 0.1; n=$((n + 1)); done'";
        let loaded = self.load("lines", "h0", script)?;
        let run = self.begin(&loaded).await?;
        let log = self.log(run);
        let (mut seen, mut late) = (0, Vec::new());
        let begun = Instant::now();
        while late.len() < 40 && begun.elapsed() < SOON {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let text = fs::read_to_string(&log).unwrap_or_default();
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as f64;
            while let Some(end) = text[seen..].find('\n') {
                let written: f64 = text[seen..seen + end].parse()?;
                late.push((now - written) / 1e6);
                seen += end + 1;
            }
        }
        self.ended(run).await?;
        let most = late.iter().copied().fold(0.0, f64::max);
        say(&format!(
            "a line, from its write until it is in the log here: {:.0} ms, at most {most:.0} (asked: under 200)",
            median(late)
        ));
        Ok(())
    }
}

/// The hosts.
struct Site {
    dir: tempfile::TempDir,
    ports: Vec<u16>,
    unshared: Child,
}

/// What the first process of the hosts does: homes and `/run` of their own, and an sshd for each.
const INIT: &str = r#"
set -eu
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /root
mount --bind "$D/passwd" /etc/passwd
mount --bind "$D/shadow" /etc/shadow
mkdir -p /run/sshd
for config in "$D"/sshd.*; do /usr/sbin/sshd -D -f "$config" & done
wait
"#;

impl Site {
    fn up(dir: &Path) -> Outcome<Self> {
        let dir = tempfile::tempdir_in(dir)?;
        let at = |name: &str| dir.path().join(name);
        for key in ["host", "id"] {
            let mut keygen = Command::new("ssh-keygen");
            good(keygen.args(["-q", "-N", "", "-t", "ed25519", "-C", "bench", "-f"]).arg(at(key)))?;
        }
        fs::copy(at("id.pub"), at("authorized_keys"))?;
        fs::write(
            at("passwd"),
            "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n\
             nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
        )?;
        fs::write(at("shadow"), "root:*:19000:0:99999:7:::\n")?;
        let listeners: Vec<TcpListener> =
            (0..HOSTS).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<_, _>>()?;
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().map(|address| address.port()))
            .collect::<Result<_, _>>()?;
        drop(listeners);
        let d = dir.path().display();
        let key = fs::read_to_string(at("host.pub"))?;
        let (mut known, mut client, mut project) = (String::new(), String::new(), String::new());
        writeln!(project, "name: bench\nknown-hosts: known_hosts\nhosts:")?;
        for (host, port) in ports.iter().enumerate() {
            fs::write(
                at(&format!("sshd.{host}")),
                format!(
                    "Port {port}\nListenAddress 127.0.0.1\nHostKey {d}/host\nPidFile none\nStrictModes no\nUsePAM no\n\
                     AuthorizedKeysFile {d}/authorized_keys\nUseDNS no\nPermitRootLogin prohibit-password\n\
                     LogLevel ERROR\nPrintMotd no\n"
                ),
            )?;
            write!(known, "[127.0.0.1]:{port} {key}")?;
            writeln!(client, "Host h{host}\n  Port {port}")?;
            writeln!(
                project,
                "  h{host}: {{ address: 127.0.0.1, port: {port}, user: root, key: id }}"
            )?;
        }
        writeln!(
            client,
            "Host *\n  HostName 127.0.0.1\n  User root\n  IdentityFile {d}/id\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {d}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  \
             Ciphers aes256-gcm@openssh.com\n  LogLevel ERROR\n  ControlMaster auto\n  ControlPersist 600\n  \
             ControlPath {d}/c.%p"
        )?;
        fs::write(at("known_hosts"), known)?;
        fs::write(at("ssh_config"), client)?;
        fs::write(at("project.yaml"), project)?;
        let unshared = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", INIT])
            .env("D", dir.path())
            .stdin(Stdio::null())
            .spawn()?;
        let site = Self { dir, ports, unshared };
        let begun = Instant::now();
        for port in &site.ports {
            while TcpStream::connect(("127.0.0.1", *port)).is_err() {
                if begun.elapsed() > SOON {
                    return Err("the sshds do not come up: is this root, and sshd there?".into());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn pool(&self) -> Arc<Pool> {
        Pool::of_user(SshBounds::default(), "root", self.dir.path(), None)
    }

    /// A way over these hosts.
    fn route(&self, hosts: &[usize]) -> Route {
        let hop = |host: &usize| Hop {
            name: format!("h{host}"),
            address: "127.0.0.1".to_owned(),
            port: self.ports[*host],
            user: Some("root".to_owned()),
            key: Key::File(self.path("id")),
            password: None,
        };
        Route {
            hops: hosts.iter().map(hop).collect(),
            known_hosts: KnownHosts::File(self.path("known_hosts")),
            ..Route::default()
        }
    }

    /// OpenSSH's client, sharing connections.
    fn ssh(&self) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.path("ssh_config")).stdin(Stdio::null());
        command
    }

    /// Opens a connection of OpenSSH's client to each host.
    fn masters(&self) -> Outcome<()> {
        for host in 0..HOSTS {
            // Whoever stays must not hold what it was started with.
            let mut ssh = self.ssh();
            ssh.args(["-f", "-N"]).arg(format!("h{host}"));
            good(ssh.stdout(Stdio::null()).stderr(Stdio::null()))?;
        }
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for host in 0..self.ports.len() {
            if self.path(&format!("c.{}", self.ports[host])).exists() {
                let mut ssh = self.ssh();
                ssh.args(["-O", "exit"]).arg(format!("h{host}"));
                // It may have ended by itself.
                let _gone = ssh.stdout(Stdio::null()).stderr(Stdio::null()).status();
            }
        }
        let _gone = self.unshared.kill();
        let _gone = self.unshared.wait();
    }
}

fn good(command: &mut Command) -> Outcome<()> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn told(failure: weir_core::job_type::JobError) -> Box<dyn std::error::Error> {
    failure.message.into()
}

fn resident_kib() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("the kernel tells no size")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the rounds' ratios.
fn ratio(of: &[f64], to: &[f64]) -> f64 {
    median(of.iter().zip(to).map(|(of, to)| of / to).collect())
}
