//! What pages say about logging in by way of others.

table! { LoginWords:
    directory_hint: "Your name and password are also taken from", "也可使用以下目录中的用户名和密码：";
    directory_trouble: "The directory can't be asked just now. Users of this server itself can log in; others please try again in a moment.", "目前无法查询目录服务。本服务器自己的用户可以登录；其他用户请稍后再试。";
    kept_elsewhere: "Your password is not kept here. It is changed where you log in by:", "您的密码不保存在此处，请在您用于登录的系统中修改：";
    name_taken: "Somebody else here has this name. An administrator can remove or rename them.", "此处已有其他用户使用该用户名。管理员可以移除该用户。";
    no_role: "You are known, but none of your groups has a role here. An administrator of this server can give it one.", "您的身份有效，但您所在的组在此没有任何角色。本服务器的管理员可以为其授予角色。";
    odd_name: "Your name has signs that no user's name has here.", "您的用户名包含此处不允许的字符。";
}
