//! What pages say about hosts.

table! { HostWords:
    architecture: "Architecture", "体系结构";
    becomes: "becomes", "切换为用户";
    boot_id: "Boot id", "启动标识";
    checks: "Machines on the way", "沿途主机";
    clock_skew: "Clock, beside this machine's", "时钟偏差（相对本机）";
    cores: "Cores", "核心数";
    disk_free: "Disk /, free of all", "磁盘 /（可用/总量）";
    facts: "What it says of itself", "主机信息";
    host: "Host", "主机";
    host_name: "Host name", "主机名";
    hosts: "Hosts", "主机";
    kernel: "Kernel", "内核";
    labels: "Labels", "标签";
    login: "Login", "登录";
    look: "Look", "检查";
    look_at_all: "Look at all", "检查全部";
    memory_free: "Memory, free of all", "内存（可用/总量）";
    no: "not reached", "无法连接";
    no_project: "Without a project", "无项目";
    none: "No project in effect has hosts.", "生效的项目中没有主机。";
    none_hint: "Hosts stand in project.yaml, beside the flows of a folder that the server was given.", "主机写在 project.yaml 中，位于服务器所指定目录的流程文件旁。";
    not_looked: "nobody has looked since the server has started", "服务器启动以来尚未检查";
    os: "System", "操作系统";
    reached: "Reached?", "可连接？";
    through: "Through", "经由";
    up: "Up", "运行时长";
    user: "User", "用户";
    yes: "reached", "可连接";
}
