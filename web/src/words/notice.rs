//! What pages say about notices.

table! { NoticeWords:
    all: "all", "全部";
    at: "Happened", "发生时间";
    how: "What became of it", "处理结果";
    next_try: "next try", "下次尝试";
    none: "Nobody was to be told of anything.", "没有需要通知的事情。";
    none_hint: "`notify` in a flow file says who is told of what.", "流程文件中的 `notify` 指定把什么通知给谁。";
    notices: "Notices", "通知";
    older: "Older notices", "更早的通知";
    send_again: "Send again", "重新发送";
    subject: "Of what", "内容";
    to: "To", "接收者";
    tried: "tries", "尝试次数";
}
