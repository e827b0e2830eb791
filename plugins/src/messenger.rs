//! Brings notices to people: mail over SMTP, webhooks over HTTP, the chats that have their own forms of them.

mod chat;
mod mail;
mod post;

use async_trait::async_trait;
use weir_core::notice::{Channel, Message, Messenger, Receiver, Undelivered};

/// Sends mail and calls webhooks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Post;

#[async_trait]
impl Messenger for Post {
    async fn send(
        &self,
        receiver: Receiver<'_>,
        channel: &Channel,
        message: &Message,
    ) -> Result<(), Undelivered> {
        match receiver {
            Receiver::Mail(to) => mail::send(to, channel.address.expose(), message).await,
            Receiver::Webhook(_) => post::send(channel, message).await,
        }
    }
}
