//! The pages in a real browser: what a person does from the first login to a cancelled run; every page in both
//! languages, both themes and two widths. Pictures are kept under `target/pictures`; with `WEIR_PICTURES=1` those of the
//! README are made anew.

use std::fs;
use std::path::PathBuf;

use weir_tests::{Browser, PASSWORD, Site, Stage, root};

const FLOW: &str = "title: Bring a release to its hosts
labels: { team: web }
schedules:
  - { id: yearly, cron: '0 30 2 1 1 ?', timezone: Asia/Shanghai, misfire: skip }
params:
  release: { type: string, default: '2.4.1', pattern: '[0-9.]+', description: Which release }
  target:  { type: string, enum: [staging, production], default: staging, description: Where to }
  wipe:    { type: boolean, default: false, description: Begin with an empty cache }
jobs:
  fetch: { title: Get the release, uses: command, with: { script: 'echo fetched {{ params.release }}' } }
  check:
    title: Check the packages
    needs: [fetch]
    foreach: '[\"api\", \"web\", \"worker\"]'
    uses: command
    with: { script: 'echo {{ item }} is whole' }
  schema: { needs: [fetch], uses: command, with: { script: 'echo schema fits' } }
  deliver:
    title: Copy it to the hosts
    needs: [check, schema]
    uses: command
    with:
      script: |
        printf 'copying \\033[36m%s\\033[0m to \\033[1m%s\\033[0m\\n' {{ params.release }} {{ params.target }}
        until [ -e DIR/go ]; do sleep 0.02; done
        [ -e DIR/mended ] || { printf '\\033[31merror: no space left on /srv/releases of host web3\\033[0m\\n'; exit 28; }
        echo copied
    recover:
      - match: { log: 'no space left on (?P<where>\\S+)' }
        diagnosis: The disk of a host is full; old releases can be removed.
        then: fail
  cache: { needs: [deliver], when: params.wipe, destroys: 'the cache of {{ params.target }}', uses: noop }
  confirm:
    title: May it take traffic?
    needs: [deliver]
    uses: approve
    with: { message: Does it look well?, form: { share: { type: integer, min: 1, max: 100, description: Percent of the traffic } } }
  switch: { needs: [confirm], uses: command, with: { script: 'echo {{ jobs.confirm.outputs.share }} percent' } }
notify: [{ on: [failed, asking], to: 'mail:ops@example.org' }]
hooks:
  on-exit:
    tidy: { uses: noop }
";

fn stage() -> (Stage, Site) {
    let stage = Stage::new();
    let flow = FLOW.replace("DIR", &stage.path().display().to_string());
    stage.write(
        "flows/web/project.yaml",
        "name: web\nhosts:\n  gate: { address: 127.0.0.1, port: 1, user: ops, labels: { role: gate } }\n  front: { address: 10.2.14.31, user: ops, via: [gate], become: root, labels: { role: web, zone: a } }\n",
    );
    stage.write("flows/web/release.flow.yaml", format!("name: release\n{flow}"));
    let slow = "name: slow\ntitle: Waits for a long time\njobs: { a: { uses: command, with: { script: sleep 600 } } }\n";
    stage.write("flows/web/slow.flow.yaml", slow);
    let site = stage.site(&["flows"]);
    (stage, site)
}

fn pictures() -> PathBuf {
    root().join("target/pictures")
}

/// Keeps a picture for the README, if that is wanted.
fn show(browser: &Browser, name: &str) {
    browser.picture(&pictures().join(format!("readme-{name}.png")));
    if std::env::var_os("WEIR_PICTURES").is_some() {
        browser.picture(&root().join("docs/pictures").join(format!("{name}.png")));
    }
}

fn log_in(browser: &Browser, site: &Site) {
    let base = format!("http://{}", site.address);
    browser.open(&format!("{base}/flows"));
    browser.type_into("#name", "admin");
    browser.type_into("#password", site.one_time.as_deref().expect("it is the first start"));
    browser.click("main button.go");
    browser.type_into("#old", site.one_time.as_deref().unwrap_or_default());
    browser.type_into("#new", PASSWORD);
    browser.type_into("#again", PASSWORD);
    browser.click("main button.go");
    browser.wait_text("h1", "Flows");
}

#[test]
fn a_person_does_it_all_in_a_browser() {
    let (stage, site) = stage();
    let browser = Browser::start();
    browser.resize(1280, 860);
    log_in(&browser, &site);

    // Start a flow by its form: first the plan, then for real.
    browser.click("a[href='/flows/web/release']");
    browser.wait_for(".dag .job");
    browser.click("a.go[href$='/run']");
    browser.type_into("#f-release", "not a number");
    browser.click("button[value=go]");
    browser.wait_text(".field.wrong .why", "pattern");
    browser.type_into("#f-release", "2.4.2");
    browser.click("option[value=production]");
    browser.click("#f-wipe");
    browser.click("button[value=plan]");
    browser.wait_text("#plan", "echo fetched '2.4.2'");
    browser.wait_text("fieldset.danger", "the cache of production");
    browser.type_into("#c-1", "the cache of something");
    browser.click("button[value=go]");
    browser.wait_for(".danger .wrong");
    browser.type_into("#c-1", "the cache of production");
    browser.click("button[value=go]");
    browser.wait_text("h1", "Run 1");

    // Watch it live: the page is never loaded again.
    browser.script("window.same = true");
    browser.wait_for(".tasks tr[data-state=running]");
    show(&browser, "run-live");
    stage.write("go", "");
    browser.wait_for("h1 .state[data-state=failed]");
    assert_eq!(browser.script("return window.same === true"), true);

    // Read the diagnosis, and the log with its colours.
    browser.wait_text(".note.diagnosis", "The disk of a host is full");
    show(&browser, "run-failed");
    browser.click(".note.diagnosis a");
    browser.wait_text(".card.diagnosis .hit", "no space left on /srv/releases");
    browser.wait_text("#lines .c1", "error: no space left");
    browser.type_into("#q", "SPACE");
    browser.click("#log .search button");
    browser.wait_text("#log", "Lines found: 1");

    // Run again from what failed, after a look at what would happen.
    browser.click(".crumbs a[href='/runs/1']");
    browser.click("a.go[href='/runs/1/rerun']");
    browser.wait_text("#preview", "reused");
    browser.type_into("#f-release", "2.4.3");
    browser.click("button[value=preview]");
    browser.wait_text("#preview", "deliver");
    show(&browser, "rerun");
    // A rerun asks again for the words against what it destroys.
    browser.type_into("#c-1", "the cache of production");
    stage.write("mended", "");
    browser.click("button[value=go]");
    browser.wait_text("h1", "Run 2");

    // It asks, and is answered by a form.
    browser.wait_for(".note.ask");
    browser.click("nav a[href='/asking']");
    browser.wait_text("main", "Does it look well?");
    browser.click("main a.button");
    browser.type_into("#f-share", "400");
    browser.click("button[value=approve]");
    browser.wait_text("main", "at most 100");
    browser.click("main a.button");
    browser.click(".note.ask a");
    browser.type_into("#f-share", "40");
    browser.click("button[value=approve]");
    browser.wait_for("h1 .state[data-state=succeeded]");
    let run = stage.show(2);
    assert_eq!(run["params"]["release"], "2.4.3");

    // Another one is cancelled.
    browser.click("nav a[href='/flows']");
    browser.click("a[href='/flows/web/slow/run']");
    browser.click("button[value=go]");
    browser.wait_for(".tasks tr[data-state=running]");
    browser.click("button[value=cancel]");
    browser.wait_for("h1 .state[data-state=cancelled]");

    let refused = "422";
    let complaints: Vec<String> =
        browser.complaints().into_iter().filter(|text| !text.contains(refused)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    site.stop();
    stage.verify();
}

/// Every page: a name for its picture, and its address. Run 1 has failed, run 2 asks.
const PAGES: [(&str, &str); 32] = [
    ("login", "/login"),
    ("flows", "/flows"),
    ("flow", "/flows/web/release"),
    ("start", "/flows/web/release/run"),
    ("versions", "/flows/web/release/versions"),
    ("runs", "/runs"),
    ("run", "/runs/1"),
    ("run-asks", "/runs/2"),
    ("task", "/runs/1/task?path=deliver"),
    ("task-asks", "/runs/2/task?path=confirm"),
    ("task-found", "/runs/1/task?path=deliver&q=space"),
    ("task-picks", "/runs/1/task?path=deliver&pick=1"),
    ("draft", "/runs/1/task/draft?path=deliver&attempt=1&l=0"),
    ("events", "/runs/1/events"),
    ("rerun", "/runs/1/rerun"),
    ("schedules", "/schedules"),
    ("schedule", "/schedules/1?n=3"),
    ("schedule-form", "/flows/web/release/schedule"),
    ("hosts", "/hosts"),
    ("host", "/hosts/web/front"),
    ("asking", "/asking"),
    ("diagnoses", "/diagnoses"),
    ("notices", "/notices"),
    ("notices-waiting", "/notices?state=waiting"),
    ("entry", "/catalogue/HDFS-02"),
    ("users", "/users"),
    ("audit", "/audit"),
    ("system", "/system"),
    ("account", "/password"),
    ("nothing", "/nothing"),
    ("wrong", "/runs?state=odd"),
    ("no-run", "/runs/77"),
];

#[test]
fn every_page_in_both_languages_themes_and_widths() {
    let (stage, site) = stage();
    stage.write("go", "");
    let browser = Browser::start();
    browser.bring(&axe());
    browser.resize(1280, 860);
    log_in(&browser, &site);
    let base = format!("http://{}", site.address);
    browser.open(&format!("{base}/flows/web/release/run"));
    browser.click("button[value=go]");
    browser.wait_for("h1 .state[data-state=failed]");
    stage.write("mended", "");
    browser.open(&format!("{base}/flows/web/release/run"));
    browser.click("button[value=go]");
    browser.wait_for("h1 .state[data-state=asking]");
    let mut barriers = Vec::new();
    for (lang, runs) in [("en", "Runs"), ("zh-CN", "运行记录")] {
        browser.open(&format!("{base}/flows"));
        browser.click(&format!("footer button[value='{lang}']"));
        browser.wait_text("nav", runs);
        for theme in ["light", "dark"] {
            browser.click(&format!("footer button[value='{theme}']"));
            browser.wait_for(&format!("html[data-theme={theme}]"));
            for (width, height) in [(1280, 860), (390, 844)] {
                browser.resize(width, height);
                for (name, path) in PAGES {
                    browser.open(&format!("{base}{path}"));
                    let picture = format!("{name}-{lang}-{theme}-{width}.png");
                    browser.picture(&pictures().join(picture));
                    let wide = browser.script("return document.documentElement.scrollWidth");
                    assert!(
                        wide.as_u64() <= Some(width.into()),
                        "{path} is {wide} wide at {width}"
                    );
                    let odd = browser.script(UNLABELLED);
                    assert_eq!(odd, "", "{path} has fields or links without a name");
                    let found = browser.script(SERIOUS);
                    if found != "" {
                        let found = found.as_str().unwrap_or("axe was not there");
                        barriers.push(format!("{path} {lang} {theme} {width}:\n{found}"));
                    }
                }
            }
        }
    }
    // The browser complains of the pages that tell of an error, too.
    let wanted = ["/nothing", "/runs?state=odd", "/runs/77"];
    let is_wanted = |text: &String| wanted.iter().any(|one| text.contains(one));
    let complaints: Vec<String> =
        browser.complaints().into_iter().filter(|text| !is_wanted(text)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(barriers.is_empty(), "{} barriers:\n{}", barriers.len(), barriers.join("\n"));
}

/// The rules of axe-core, as a script.
fn axe() -> String {
    let path = root().join(".cache/axe/node_modules/axe-core/axe.min.js");
    fs::read_to_string(path).expect("axe-core is here: see scripts/install-test-needs")
}

/// What its rules find that keeps somebody from using a page.
const SERIOUS: &str = "
  const tell = (node) => `    ${node.target.join(' ')}: ${node.any.concat(node.all, node.none).map((one) => one.message).join('; ')}`;
  return axe.run(document, { resultTypes: ['violations'] }).then((result) => result.violations
    .filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => `  ${one.id}: ${one.help}\\n${one.nodes.slice(0, 4).map(tell).join('\\n')}`).join('\\n'));";

/// What can be used but has no name that a screen reader could say.
const UNLABELLED: &str = "
  const named = (e) => e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim() || e.title || e.type === 'hidden';
  return [...document.querySelectorAll('a, button, input, select, textarea')]
    .filter((e) => !named(e)).map((e) => e.outerHTML).join('\\n');";

#[test]
fn pages_work_without_scripts() {
    let (stage, site) = stage();
    let browser = Browser::start();
    browser.resize(1280, 860);
    browser.set_scripts(false);
    log_in(&browser, &site);
    let base = format!("http://{}", site.address);

    // Start by the form, see it run, see it fail, read why.
    browser.open(&format!("{base}/flows/web/release/run"));
    browser.click("button[value=go]");
    browser.wait_text("h1", "Run 1");
    stage.write("go", "");
    browser.wait_for("h1 .state[data-state=failed]");
    browser.wait_text(".note.diagnosis", "The disk of a host is full");
    browser.click(".note.diagnosis a");
    browser.wait_text("#lines .c1", "error: no space left");

    // Run it again after a look, answer what it asks.
    stage.write("mended", "");
    browser.open(&format!("{base}/runs/1/rerun"));
    browser.click("button[value=preview]");
    browser.wait_text("#preview", "deliver");
    browser.click("button[value=go]");
    browser.wait_text("h1", "Run 2");
    browser.wait_for(".note.ask");
    for (_, path) in PAGES {
        browser.open(&format!("{base}{path}"));
        assert!(!browser.text("h1").is_empty(), "{path} says nothing");
    }
    browser.open(&format!("{base}/runs/2"));
    browser.click(".note.ask a");
    browser.type_into("#f-share", "5");
    browser.click("button[value=approve]");
    browser.wait_for("h1 .state[data-state=succeeded]");

    // Another one is cancelled.
    browser.open(&format!("{base}/flows/web/slow/run"));
    browser.click("button[value=go]");
    browser.wait_for(".tasks tr[data-state=running]");
    browser.click("button[value=cancel]");
    browser.wait_for("h1 .state[data-state=cancelled]");
    drop(browser);
    site.stop();
    stage.verify();
}
