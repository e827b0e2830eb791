//! What pages say about logging in by way of others.

table! { LoginWords:
    directory_hint: "Your name and password are also taken from", "也可使用以下目录中的用户名和密码：";
    directory_trouble: "The directory can't be asked just now. Users of this server itself can log in; others please try again in a moment.", "目前无法查询目录服务。本服务器自己的用户可以登录；其他用户请稍后再试。";
    kept_elsewhere: "Your password is not kept here. It is changed where you log in by:", "您的密码不保存在此处，请在您用于登录的系统中修改：";
    login_lost: "This login took too long, or began in another browser. Please begin again.", "登录耗时过长，或是在另一个浏览器中开始的。请重新开始。";
    name_taken: "Somebody else here has this name. An administrator can remove or rename them.", "此处已有其他用户使用该用户名。管理员可以移除该用户。";
    nameless: "You are known, but it was not said what you are called. An administrator of this server can choose another claim than:", "您的身份有效，但登录服务未提供您的用户名。本服务器的管理员可以改用其他声明，当前为：";
    no_role: "You are known, but none of your groups has a role here. An administrator of this server can give it one.", "您的身份有效，但您所在的组在此没有任何角色。本服务器的管理员可以为其授予角色。";
    odd_name: "Your name has signs that no user's name has here.", "您的用户名包含此处不允许的字符。";
    provider_away: "The login service can't be reached just now. Please try again in a moment; users of this server itself can log in below.", "目前无法连接登录服务，请稍后再试；本服务器自己的用户可以在下方登录。";
    provider_doubtful: "What the login service says can't be believed, so nobody was logged in. Please try again; if it stays so, tell an administrator of this server.", "登录服务的应答不可信，因此未登录。请重试；如仍然如此，请告知本服务器的管理员。";
    provider_refused: "The login service has not let you in. It says:", "登录服务拒绝了登录，原因：";
    provider_unfit: "Logging in this way is not set up rightly. Please tell an administrator of this server: its log says why. Users of this server itself can log in below.", "此登录方式的设置有误。请告知本服务器的管理员（日志中有原因）。本服务器自己的用户可以在下方登录。";
    with: "Log in with", "使用以下方式登录：";
}
