//! All that pages say, in English and in simplified Chinese. A word that is missing in one language does not compile.
//!
//! Words of one kind of page have a table of their own in `words`, found as `s.schedule.next`.

/// A table of words.
macro_rules! table {
    ($table:ident: $($name:ident: $en:literal, $zh:literal;)*) => {
        /// What pages say about it, in one language.
        pub(crate) struct $table { $(pub(crate) $name: &'static str,)* }
        pub(crate) static EN: $table = $table { $($name: $en,)* };
        pub(crate) static ZH: $table = $table { $($name: $zh,)* };
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $zh),)*];
    };
}

mod host;
mod login;
mod notice;
mod schedule;

/// The languages of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lang {
    En,
    Zh,
}

impl Lang {
    /// The tag in HTML and in the cookie.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }

    pub(crate) fn named(tag: &str) -> Option<Self> {
        [Self::En, Self::Zh].into_iter().find(|lang| lang.tag() == tag)
    }

    /// The first language of an `Accept-Language` that pages have; English if there is none.
    pub(crate) fn accepted(header: &str) -> Self {
        let mut asked: Vec<(f32, Self)> = Vec::new();
        for part in header.split(',') {
            let mut parts = part.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let weight = parts
                .find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok())
                .unwrap_or(1.0);
            match tag.split('-').next() {
                Some("en") => asked.push((weight, Self::En)),
                Some("zh") => asked.push((weight, Self::Zh)),
                _ => {}
            }
        }
        asked.sort_by(|one, other| other.0.total_cmp(&one.0));
        asked.first().map_or(Self::En, |(_, lang)| *lang)
    }
}

macro_rules! words {
    ($($name:ident: $en:literal, $zh:literal;)*) => {
        /// What pages say, in one language.
        pub(crate) struct Words {
            pub(crate) host: &'static host::HostWords,
            pub(crate) login: &'static login::LoginWords,
            pub(crate) notice: &'static notice::NoticeWords,
            pub(crate) schedule: &'static schedule::ScheduleWords,
            $(pub(crate) $name: &'static str,)*
        }
        static EN: Words = Words { host: &host::EN, login: &login::EN, notice: &notice::EN, schedule: &schedule::EN, $($name: $en,)* };
        static ZH: Words = Words { host: &host::ZH, login: &login::ZH, notice: &notice::ZH, schedule: &schedule::ZH, $($name: $zh,)* };
        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $zh),)*];
    };
}

impl Words {
    pub(crate) fn of(lang: Lang) -> &'static Self {
        match lang {
            Lang::En => &EN,
            Lang::Zh => &ZH,
        }
    }

    pub(crate) fn english() -> &'static Self {
        &EN
    }

    /// A state of a run or a task.
    pub(crate) fn state(&self, name: &str) -> &'static str {
        let is_zh = std::ptr::eq(self, &raw const ZH);
        STATES
            .iter()
            .find(|(state, ..)| *state == name)
            .map_or("", |(_, en, zh)| if is_zh { zh } else { en })
    }
}

/// Names of states, of what became of due times, of what a rerun will do, of roles.
const STATES: &[(&str, &str, &str)] = &[
    ("waiting", "waiting", "等待"),
    ("ready", "ready", "就绪"),
    ("launching", "launching", "启动中"),
    ("running", "running", "运行中"),
    ("unreachable", "unreachable", "无法连接"),
    ("retrying", "retrying", "等待重试"),
    ("recovering", "recovering", "修复中"),
    ("asking", "asking", "待决定"),
    ("cancelling", "cancelling", "取消中"),
    ("succeeded", "succeeded", "成功"),
    ("failed", "failed", "失败"),
    ("timed-out", "timed out", "超时"),
    ("cancelled", "cancelled", "已取消"),
    ("lost", "lost", "已丢失"),
    ("skipped", "skipped", "已跳过"),
    ("already-done", "already done", "无需执行"),
    ("reused", "reused", "已复用"),
    ("disabled", "disabled", "已停用"),
    ("queued", "queued", "排队中"),
    ("paused", "paused", "已暂停"),
    ("failing", "failing", "正在失败"),
    ("delivered", "delivered", "已送达"),
    ("given-up", "given up", "已放弃"),
    ("active", "active", "生效"),
    ("ended", "ended", "已结束"),
    ("flow-gone", "its flow is gone", "流程已不存在"),
    ("missed", "missed", "已错过"),
    ("refused", "refused", "被拒绝"),
    ("run", "runs", "执行"),
    ("unsafe", "runs, unsafe to repeat", "执行（重复有风险）"),
    ("reuse", "reused", "复用"),
    ("skip", "left out", "跳过"),
    ("viewer", "viewer", "查看者"),
    ("operator", "operator", "操作员"),
    ("author", "author", "编写者"),
    ("admin", "administrator", "管理员"),
];

words! {
    account: "Account", "账户";
    act_fail: "Count as failed", "标记为失败";
    act_retry: "Try now", "立即重试";
    act_skip: "Skip", "跳过";
    act_succeed: "Count as done", "标记为成功";
    actions: "Actions", "操作";
    add_token: "Add a token", "添加令牌";
    add_user: "Add a user", "添加用户";
    advice: "What to do", "处理建议";
    afterwards: "Afterwards", "之后";
    all_projects: "all projects", "所有项目";
    all_runs: "All runs", "所有运行";
    all_well: "All is well: the engine moves runs and can write.", "一切正常：引擎正在推进运行，并且可以写入。";
    answer: "Answer", "回答";
    answer_approve: "Approve", "批准";
    answer_approve_says: "go on as proposed", "按建议继续";
    answer_continue: "Continue", "继续";
    answer_continue_says: "count the task as done", "将任务视为已完成";
    answer_reject: "Reject", "拒绝";
    answer_reject_says: "the task has failed", "任务判为失败";
    answer_retry: "Retry", "重试";
    answer_retry_says: "try the task again", "再次执行任务";
    any_state: "any", "任意";
    approvals: "Approvals", "审批";
    approvals_hint: "Tasks that wait until a person decides.", "等待人工决定的任务。";
    asks: "asks:", "询问：";
    attempt: "Attempt", "尝试";
    attempts: "Attempts", "尝试次数";
    audit: "Audit", "审计";
    before: "Before", "之前";
    begun: "Begun", "开始时间";
    beware: "Beware", "注意";
    broken_file_hint: "The file has mistakes now. Runs use the last version without any until they are mended.", "文件目前有错误。修正之前，运行使用最后一个没有错误的版本。";
    by_whom: "By", "发起者";
    cancel_run: "Cancel", "取消";
    catalogue: "Catalogue of known failures", "已知故障目录";
    catalogue_entry: "entry of the catalogue", "目录条目";
    change_password: "Change the password", "修改密码";
    choose_jobs: "Choose jobs", "选择作业";
    choose_line: "choose this line", "选择此行";
    compare: "Compare", "比较";
    connection_lost: "The connection was lost. Trying again; what you see may be old.", "连接已断开，正在重连；当前内容可能不是最新的。";
    data_folder: "Data folder", "数据目录";
    days_valid: "Days until it expires; empty for never", "有效天数；留空表示永不过期";
    default_value: "Default", "默认值";
    description: "Description", "说明";
    destroys_hint: "What is destroyed can't be brought back. Type the words exactly as they stand here to allow it now. Left empty, the job asks when its turn comes.", "被销毁的内容无法恢复。请逐字输入下面的文字以立即允许；留空则在执行到该作业时再询问。";
    details: "Details", "详情";
    diagnoses: "Diagnoses", "诊断";
    diagnosis: "Diagnosis", "诊断";
    difference: "Difference", "差异";
    download: "Download", "下载";
    draft_hint: "A draft from the lines that you chose: what changes from run to run was made general. Fill the gaps, and put it into a file of the catalogue.", "根据所选日志行生成的草稿：每次运行都会变化的部分已被泛化。请补全空缺，然后放入目录文件。";
    durations: "Durations", "耗时";
    earlier_lines: "Earlier lines", "更早的行";
    engine_trouble: "The engine can't write:", "引擎无法写入：";
    err_bad: "This can't be used", "无法处理此请求";
    err_bad_help: "Something that was sent does not fit. Go back, mend it, and send it again; nothing has changed.", "提交的内容不符合要求。请返回修改后重新提交；没有任何更改。";
    err_broken: "Something of ours failed", "服务器出错";
    err_broken_help: "It is not your mistake. Try again in a moment; the log of the server says what happened.", "这不是您的错误。请稍后再试；服务器日志中有详细原因。";
    err_conflict: "It does not fit how things stand", "与当前状态冲突";
    err_conflict_help: "Perhaps it moved on meanwhile. Look again, then decide.", "状态可能已经变化。请刷新后再决定。";
    err_forbidden: "Your role does not allow this", "您的角色无权执行此操作";
    err_forbidden_help: "An administrator can give you the role. It needs at least:", "管理员可以授予您相应角色。至少需要：";
    err_foreign: "This came from another site", "请求来自其他网站";
    err_foreign_help: "Changes are taken only from pages of this server. Open the page here and send it again.", "仅接受来自本服务器页面的更改。请在本站打开页面后重新提交。";
    err_no_login: "Please log in", "请先登录";
    err_no_login_help: "Log in, or send a valid token. A session ends after some days, a token when it expires.", "请登录，或提供有效的令牌。会话数天后失效，令牌到期后失效。";
    err_no_method: "This address does not take that", "此地址不支持该方法";
    err_no_method_help: "The address is right, the method is not. The description of the API lists what it takes.", "地址正确，但方法不对。请参阅 API 说明。";
    err_no_page: "There is nothing here", "此处没有内容";
    err_no_page_help: "The address may be wrong, or you may not see what is here. The lists show all that you may see.", "地址可能有误，或者您无权查看。列表中显示您可以查看的全部内容。";
    err_slow: "Too many wrong logins", "登录失败次数过多";
    err_slow_help: "Wait a moment, then try again. Seconds to wait:", "请稍候再试。需等待的秒数：";
    err_unwritten: "Nothing can be written just now", "暂时无法写入";
    err_unwritten_help: "Nothing has changed. Whoever runs this server must see to its disk; then send it again.", "没有任何更改。请联系管理员检查服务器磁盘，然后重新提交。";
    events: "Events", "事件";
    evidence: "Evidence", "证据";
    exit_code: "Exit code", "退出码";
    expires: "Expires", "到期时间";
    first_error: "First error", "第一个错误";
    go_on_looking: "Look on", "继续查找";
    first_login_hint: "The first start of the server has printed a name and a one-time password.", "服务器首次启动时会打印用户名和一次性密码。";
    first_seen: "First seen", "首次出现";
    flow: "Flow", "流程";
    flow_folders: "Folders of flows", "流程目录";
    flow_has_mistakes: "its file has mistakes", "文件有错误";
    flows: "Flows", "流程";
    for_each: "for each", "遍历";
    from_all: "Everything", "全部";
    from_failed: "What failed, and all below it", "失败的作业及其下游";
    from_job: "A job and all below it", "某个作业及其下游";
    from_where: "From", "来源";
    give_role: "Give a role", "授予角色";
    go_back: "Go back", "返回";
    graph: "Graph", "流程图";
    item: "Item", "条目";
    job: "Job", "作业";
    job_type: "Job type", "作业类型";
    job_types: "Job types", "作业类型";
    jobs_hint: "Paths of jobs, several with commas between.", "作业路径，多个用英文逗号分隔。";
    kill_run: "Kill", "强制结束";
    kind: "Type", "类型";
    known_from: "Known from", "出处";
    language: "Language", "语言";
    last_run: "Last run", "最近一次运行";
    last_runs: "Last runs", "最近运行";
    later_events: "Later events", "更晚的事件";
    looked_up_to: "Looked through up to", "已查找至";
    later_lines: "Later lines", "更晚的行";
    latest: "Latest", "最新";
    lines_found: "Lines found:", "找到的行数：";
    link_to_line: "link to this line", "此行链接";
    list_is_cut: "There is more than is shown here.", "此处未显示全部内容。";
    log: "Log", "日志";
    log_in: "Log in", "登录";
    log_is_empty: "Nothing was written.", "没有日志输出。";
    log_out: "Log out", "退出登录";
    log_out_everywhere: "Log out everywhere", "在所有设备上退出";
    make_entry: "Make an entry of the catalogue", "生成目录条目";
    make_entry_from: "Make an entry from lines", "从日志行生成条目";
    may_not_answer: "Your role does not allow you to answer.", "您的角色无权回答。";
    met_here: "Met here", "本机遇到过的故障";
    name_label: "Name", "名称";
    navigation: "Main navigation", "主导航";
    never: "never", "永不";
    never_ran: "never ran", "从未运行";
    new_one_time: "New one-time password", "新的一次性密码";
    new_password: "New password", "新密码";
    new_password_again: "New password, once more", "再次输入新密码";
    newer: "Newer", "较新";
    no_error_found: "No line looks like an error.", "没有看起来像错误的行。";
    no_difference: "The texts are the same.", "内容相同。";
    no_flows: "No flow is known yet.", "尚无流程。";
    no_flows_hint: "Flows are known once they have run in this home, or when the server is given their folder:", "流程在本数据目录中运行过，或启动服务器时指定其目录后，即会显示：";
    no_params: "This flow has no parameters.", "此流程没有参数。";
    no_versions: "It has not run yet, so no version is kept.", "尚未运行，因此没有保存的版本。";
    nobody_is_asked: "Nothing waits for a person.", "没有等待人工处理的任务。";
    none_met: "No known failure was met yet.", "尚未遇到已知故障。";
    not_known_yet: "Not known yet:", "目前未知：";
    nothing_found: "Nothing was found.", "没有找到内容。";
    number_label: "No.", "编号";
    old_password: "Present password", "当前密码";
    older: "Older", "较旧";
    older_lines: "Older lines", "更早的记录";
    older_runs: "Older runs", "更早的运行";
    on_what: "On", "对象";
    one_time_hint: "Your password was made for one login. Choose one of your own to go on.", "您的密码仅供一次登录使用。请设置自己的密码后继续。";
    one_time_tag: "one-time password", "一次性密码";
    only_chosen: "Only chosen jobs", "仅所选作业";
    only_jobs: "Only these jobs", "仅运行这些作业";
    outputs: "Outputs", "输出";
    params: "Parameters", "参数";
    password: "Password", "密码";
    password_rule: "At least 10 characters.", "至少 10 个字符。";
    passwords_differ: "The two new passwords differ.", "两次输入的新密码不一致。";
    password_short: "The new password is too short.", "新密码太短。";
    password_wrong: "The present password is wrong.", "当前密码不正确。";
    pattern: "Pattern", "匹配模式";
    pattern_matches_nothing: "The pattern matches no line of the log.", "该模式未匹配到任何日志行。";
    pattern_tried: "The pattern, tried against the log", "用该模式匹配此日志";
    pause: "Pause", "暂停";
    plan: "Plan", "计划";
    plan_hint: "Found out by reading only; nothing has run.", "仅通过读取得出；尚未执行任何操作。";
    preview: "Preview", "预览";
    project: "Project", "项目";
    question: "Question", "问题";
    ran_before: "before:", "之前：";
    rank: "Rank", "级别";
    remove: "Remove", "删除";
    rerun: "Run again", "重新运行";
    rerun_from_here: "Run again from here", "从此处重新运行";
    rerun_hint: "A new run takes over what ended well. The old one is not changed.", "新的运行会复用成功的结果，原运行不会改变。";
    rerun_of: "again after run", "重新运行自";
    result: "Result:", "结果：";
    resume: "Resume", "继续";
    role: "Role", "角色";
    roles: "Roles", "角色";
    run: "Run", "运行";
    run_verb: "Run", "运行";
    runs: "Runs", "运行记录";
    same_as_then: "the same", "相同";
    samples: "Samples", "样例";
    save: "Save", "保存";
    search: "Search", "搜索";
    search_flows_hint: "name, title, label", "名称、标题、标签";
    search_log: "Search the log", "搜索日志";
    secret_kept: "kept as it was", "保持不变";
    serving_since: "Serving since", "启动时间";
    settings: "Settings", "设置";
    show_in_log: "Show in the log", "在日志中查看";
    show_plan: "Show the plan", "显示计划";
    shown_once: "This is shown once and kept nowhere. Copy it now.", "此内容仅显示一次，不会保存。请立即复制。";
    signature: "Known failure", "已知故障";
    since: "Since", "自";
    since_good: "What changed since the last good run", "与上次成功运行相比的变化";
    skip_jobs: "Leave these jobs out", "跳过这些作业";
    skip_to_content: "Skip to the content", "跳到正文";
    source: "Source", "源文件";
    source_and_versions: "Source and versions", "源文件与版本";
    start_rerun: "Run again now", "立即重新运行";
    start_run: "Start the run", "开始运行";
    state_label: "State", "状态";
    stuck: "The server can't write just now. Jobs that work go on; what is asked waits until it can.", "服务器暂时无法写入。正在执行的作业会继续；请求会等到可以写入为止。";
    system: "System", "系统";
    take_away: "take away", "撤销";
    task: "Task", "任务";
    tasks: "Tasks", "任务";
    theme_auto: "Auto", "自动";
    theme_dark: "Dark", "深色";
    theme_label: "Theme", "主题";
    theme_light: "Light", "浅色";
    then: "Then:", "后续：";
    this_destroys: "This destroys", "此操作将销毁";
    time_label: "Time", "时间";
    timeline: "Timeline", "时间线";
    times_cured: "Cured", "已修复";
    times_met: "Met", "遇到次数";
    times_not_cured: "Not cured", "未修复";
    title_label: "Title", "标题";
    tokens: "Tokens", "令牌";
    tokens_hint: "Keys for programs, sent as Authorization: Bearer.", "供程序使用的密钥，以 Authorization: Bearer 发送。";
    took: "Took", "耗时";
    type_these_words: "Type these words", "请输入这些文字";
    unfinished_runs: "Unfinished runs", "未完成的运行";
    user_name: "User name", "用户名";
    users: "Users", "用户";
    version: "Version", "版本";
    version_changed: "The flow has changed since you opened this page. Look again at what will run, then start it.", "打开此页面后流程已更改。请再次确认将要运行的内容，然后启动。";
    version_newest: "The newest", "最新版本";
    version_same: "The one that ran", "原运行的版本";
    waits_for_person: "It waits for a person", "等待人工处理";
    way_when_it_runs: "what is done there is known when it runs", "运行时才能确定在该主机上执行的操作";
    what_happened: "What", "操作";
    what_runs: "What runs", "运行范围";
    why: "Why", "原因";
    wrap_lines: "Wrap long lines", "自动换行";
    will: "Will be", "将会";
    wrong_login: "The name or the password is wrong.", "用户名或密码错误。";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_chinese(text: &str) -> bool {
        text.chars().any(|letter| ('\u{4e00}'..='\u{9fff}').contains(&letter))
    }

    #[test]
    fn every_word_is_translated() {
        for (name, en, zh) in [ALL, STATES, host::ALL, login::ALL, notice::ALL, schedule::ALL]
            .into_iter()
            .flatten()
            .copied()
        {
            assert!(!en.is_empty() && !is_chinese(en), "{name}: {en}");
            assert!(is_chinese(zh), "{name} is not in Chinese: {zh}");
        }
    }

    #[test]
    fn no_template_has_words_of_its_own() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).expect("the templates are there") {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("a template is text");
            for word in said(&text) {
                found.push(format!("{}: {word}", path.display()));
            }
        }
        assert!(found.is_empty(), "these are not in the table of words: {found:#?}");
    }

    /// The words that stand in a template outside of tags and expressions, or in what readers see of a tag.
    fn said(template: &str) -> Vec<String> {
        /// Names, and what is typed as it is.
        const NAMES: [&str; 8] = [
            "Weir",
            "English",
            "简体中文",
            "weir serve --flows DIR",
            "/metrics",
            "/healthz",
            "/readyz",
            "OpenAPI",
        ];
        let mut plain = String::new();
        let mut rest = template;
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            let end = match rest.as_bytes().get(at + 1) {
                Some(b'{') => "}}",
                Some(b'%') => "%}",
                Some(b'#') => "#}",
                _ => {
                    rest = &rest[at + 1..];
                    continue;
                }
            };
            let length = rest[at..].find(end).expect("an expression ends");
            plain.push('\u{1}');
            rest = &rest[at + length + end.len()..];
        }
        plain.push_str(rest);
        let mut words = Vec::new();
        let mut texts = String::new();
        let mut rest = plain.as_str();
        while let Some(at) = rest.find('<') {
            texts.push_str(&rest[..at]);
            texts.push('\u{1}');
            let length = rest[at..].find('>').expect("a tag ends");
            let tag = &rest[at..at + length];
            for name in ["title=\"", "aria-label=\"", "placeholder=\"", "alt=\""] {
                if let Some((_, value)) = tag.split_once(name) {
                    texts.push_str(value.split('"').next().unwrap_or_default());
                    texts.push('\u{1}');
                }
            }
            rest = &rest[at + length + 1..];
        }
        texts.push_str(rest);
        for text in texts.split('\u{1}') {
            let text = text.replace("&amp;", "");
            let text = text.trim_matches(|c: char| c.is_whitespace() || c == '·').to_owned();
            if text.chars().any(char::is_alphabetic) && !NAMES.contains(&text.as_str()) {
                words.push(text);
            }
        }
        words
    }

    #[test]
    fn the_search_for_words_finds_them() {
        assert_eq!(
            said("<p>{{ s.x }} Hello <b title=\"there\">{% if a %}</b>"),
            ["Hello", "there"]
        );
        assert!(said("<b>Weir</b> {{ s.flows }} · <i class=\"red\">7</i>").is_empty());
    }

    #[test]
    fn a_reader_gets_the_language_that_their_browser_asks_for() {
        for (header, lang) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh),
            ("en-GB,en;q=0.9", Lang::En),
            ("fr, zh;q=0.2, en;q=0.7", Lang::En),
            ("fr", Lang::En),
            ("", Lang::En),
        ] {
            assert_eq!(Lang::accepted(header), lang, "{header}");
        }
        assert_eq!(Words::of(Lang::Zh).state("failed"), "失败");
        assert_eq!(Words::of(Lang::En).state("timed-out"), "timed out");
    }

    #[test]
    fn every_state_has_a_name() {
        for code in 0..=18 {
            let state = weir_core::run::TaskState::from_code(code, 1).expect("a state");
            assert!(!EN.state(state.name()).is_empty(), "{}", state.name());
        }
        for code in 0..=8 {
            let state = weir_core::run::RunState::from_code(code).expect("a state");
            assert!(!ZH.state(state.name()).is_empty(), "{}", state.name());
        }
    }
}
