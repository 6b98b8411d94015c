//! The page in Chromium, through chromedriver.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use serde_json::json;
use tempfile::TempDir;
use thirtyfour::error::WebDriverResult;
use thirtyfour::{By, ChromiumLikeCapabilities as _, DesiredCapabilities, WebDriver, WebElement};

use crate::baton::artifacts_dir;
use crate::process::pid_of;
use crate::stream::MESSAGE_LIMIT;

/// How long the page is left alone between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// chromedriver in a process group of its own: Debian's wrappers do not pass signals on, and a Chromium whose driver is
/// killed lives on.
#[derive(Debug)]
struct Driver {
    child: Child,
    port: u16,
}

impl Driver {
    fn start() -> Self {
        for program in ["chromium", "chromedriver"] {
            let found = std::env::var_os("PATH")
                .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()));
            assert!(
                found,
                "`{program}` is missing: this test needs Debian's packages `chromium` and `chromium-driver`"
            );
        }
        let mut said = Vec::new();
        for _ in 0..Self::STARTS_MAX {
            match Self::try_start() {
                Ok(driver) => return driver,
                Err(lines) => said.push(lines),
            }
        }
        panic!("chromedriver ended {} times before it listened; it said: {said:#?}", Self::STARTS_MAX);
    }

    /// With `--port=0` chromedriver takes a free IPv4 port and ends if the same IPv6 port happens to be taken, which is likely
    /// while another test holds ten thousand of them. It has no way to ask for a pair, so it is asked again.
    const STARTS_MAX: usize = 10;

    fn try_start() -> Result<Self, Vec<String>> {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut lines = stdout.lines().map_while(Result::ok);
        let mut said = Vec::new();
        for line in lines.by_ref() {
            let port =
                line.split_once("started successfully on port ").map(|(_, port)| port.trim_end_matches('.').parse());
            said.push(line);
            if let Some(Ok(port)) = port {
                // Read on, so that it never waits for its log.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Self { child, port });
            }
        }
        let ended = child.wait();
        said.push(format!("{ended:?}"));
        Err(said)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = killpg(pid_of(self.child.id()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// One page.
#[derive(Debug)]
pub struct Page {
    web: WebDriver,
    _driver: Driver,
    _profile: TempDir,
}

impl Page {
    /// Starts Chromium and opens this URL.
    ///
    /// # Panics
    /// When Chromium is missing or does not start; the message names the packages.
    pub async fn open(url: &str) -> Self {
        Self::open_with(url, &[]).await
    }

    /// The same, with more arguments for Chromium.
    ///
    /// # Panics
    /// When Chromium is missing or does not start; the message names the packages.
    pub async fn open_with(url: &str, more: &[&str]) -> Self {
        // One TLS provider must be named even though nothing here speaks TLS; a second call finds it set.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let driver = Driver::start();
        let profile = tempfile::Builder::new().prefix("bt-page-").tempdir().expect("a temporary directory");
        let mut capabilities = DesiredCapabilities::chrome();
        let arguments = [
            "--headless=new".to_owned(),
            "--disable-gpu".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        for argument in arguments.iter().map(String::as_str).chain(more.iter().copied()) {
            capabilities.add_arg(argument).expect("an argument");
        }
        if nix::unistd::geteuid().is_root() {
            // Chromium refuses to start as root with its sandbox; a container's tests run as root.
            capabilities.add_arg("--no-sandbox").expect("an argument");
        }
        let web =
            WebDriver::new(format!("http://127.0.0.1:{}", driver.port), capabilities).await.expect("Chromium starts");
        let page = Self { web, _driver: driver, _profile: profile };
        page.look(1280, 800, "dark").await;
        page.web.goto(url).await.expect("the page loads");
        page
    }

    /// Gives the page this viewport and colour scheme.
    ///
    /// # Panics
    /// When Chromium does not.
    pub async fn look(&self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.web.cdp().send_raw("Emulation.setDeviceMetricsOverride", metrics).await.expect("a viewport");
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.web.cdp().send_raw("Emulation.setEmulatedMedia", media).await.expect("a colour scheme");
    }

    /// Keeps a picture of the page as `test-artifacts/screenshots/<name>.png`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let directory = artifacts_dir().join("screenshots");
        std::fs::create_dir_all(&directory).expect("a directory");
        let file = directory.join(format!("{name}.png"));
        self.web.screenshot(Path::new(&file)).await.expect("a picture");
        file
    }

    /// Whether an element with this test id is there.
    pub async fn has(&self, test_id: &str) -> bool {
        self.web.find(selector(test_id)).await.is_ok()
    }

    /// The element with this test id, as soon as it is shown.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn element(&self, test_id: &str) -> WebElement {
        self.css(&format!("[data-testid=\"{test_id}\"]")).await
    }

    /// The element this selector finds, as soon as it is shown.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn css(&self, css: &str) -> WebElement {
        let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
        loop {
            if let Ok(element) = self.web.find(By::Css(css)).await
                && element.is_displayed().await.unwrap_or(false)
            {
                return element;
            }
            if tokio::time::Instant::now() > limit {
                let file = self.screenshot("failed").await;
                panic!("`{css}` is not on the page ({}): {}", file.display(), self.source().await);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Clicks the element with this test id.
    ///
    /// # Panics
    /// When it cannot be clicked.
    pub async fn click(&self, test_id: &str) {
        // An element that is redrawn between being found and being clicked is found again.
        let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
        loop {
            match self.element(test_id).await.click().await {
                Ok(()) => return,
                Err(err) if tokio::time::Instant::now() > limit => panic!("`{test_id}` cannot be clicked: {err}"),
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Waits until the element with this test id has this `data-state`.
    ///
    /// # Panics
    /// When it does not get it.
    pub async fn until_state(&self, test_id: &str, state: &str) {
        self.css(&format!("[data-testid=\"{test_id}\"][data-state=\"{state}\"]")).await;
    }

    /// Waits until the text of the element with this test id is as wanted; the text.
    ///
    /// # Panics
    /// When it does not become so.
    pub async fn until_text(&self, test_id: &str, wanted: impl Fn(&str) -> bool) -> String {
        let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
        loop {
            // An element that is redrawn meanwhile has no text for a moment.
            let text = self.element(test_id).await.text().await.unwrap_or_default();
            if wanted(&text) {
                return text;
            }
            if tokio::time::Instant::now() > limit {
                let file = self.screenshot("failed").await;
                panic!("`{test_id}` says `{text}` ({})", file.display());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Types into whatever has the focus.
    ///
    /// # Panics
    /// When nothing takes it.
    pub async fn type_text(&self, text: &str) {
        let focused = self.web.active_element().await.expect("an element has the focus");
        focused.send_keys(text).await.expect("it takes keys");
    }

    /// Runs a script; its value.
    ///
    /// # Errors
    /// When the script throws.
    pub async fn run(&self, script: &str) -> WebDriverResult<serde_json::Value> {
        Ok(self.web.execute(script, vec![]).await?.json().clone())
    }

    /// The rows of the terminal as the page shows them, trailing spaces cut.
    ///
    /// # Panics
    /// When the page has no terminal.
    pub async fn rows(&self) -> Vec<String> {
        let text = self.run("return window.batonTest.text()").await.expect("window.batonTest");
        let text = text.as_str().unwrap_or_default();
        text.split('\n').map(|row| row.trim_end().to_owned()).collect()
    }

    /// A number that the page tells the test.
    ///
    /// # Panics
    /// When it does not.
    pub async fn number(&self, name: &str) -> u64 {
        let value = self.run(&format!("return window.batonTest.{name}()")).await.expect("window.batonTest");
        value.as_u64().unwrap_or_else(|| panic!("`{name}` is {value}"))
    }

    /// Waits until the rows are as wanted; the rows.
    ///
    /// # Panics
    /// When they do not become so.
    pub async fn until_rows(&self, what: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let limit = tokio::time::Instant::now() + MESSAGE_LIMIT;
        loop {
            let rows = self.rows().await;
            if wanted(&rows) {
                return rows;
            }
            if tokio::time::Instant::now() > limit {
                let file = self.screenshot("failed").await;
                panic!("the page does not show {what} ({}):\n{}", file.display(), rows.join("\n"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The page as it is now, for messages.
    pub async fn source(&self) -> String {
        let source = self.web.source().await.unwrap_or_default();
        source.chars().take(4000).collect()
    }

    /// The browser itself.
    #[must_use]
    pub fn web(&self) -> &WebDriver {
        &self.web
    }

    /// Ends Chromium as its driver would have it.
    pub async fn close(self) {
        let _ = self.web.clone().quit().await;
    }
}

fn selector(test_id: &str) -> By {
    By::Css(format!("[data-testid=\"{test_id}\"]"))
}
