//! A container that does one piece of work and ends.

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt;

use super::container::{Bind, VolumeMount, mounts};
use super::{Engine, Error, Labels};

/// What to run, without any network.
#[derive(Debug, Clone)]
pub struct Helper {
    pub name: String,
    pub image: String,
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub labels: Labels,
    pub volumes: Vec<VolumeMount>,
    pub binds: Vec<Bind>,
    /// Empty folders in memory.
    pub memory: Vec<String>,
    pub capabilities: Vec<String>,
    pub security: Vec<String>,
}

impl Engine {
    /// Runs a helper to its end, hands over each line that it prints, and removes it. Returns its code
    /// and the last of what it complained of.
    pub async fn run_helper(
        &self,
        helper: &Helper,
        mut on_line: impl FnMut(&str),
    ) -> Result<(i64, String), Error> {
        // One of an earlier run that was killed may still be at work.
        self.remove_container(&helper.name).await?;
        let what = format!("run the helper `{}`", helper.name);
        let options = CreateContainerOptionsBuilder::new().name(&helper.name).build();
        self.api.create_container(Some(options), body(helper)).await.map_err(Error::of(what.clone()))?;
        let ended = self.follow(&helper.name, &what, &mut on_line).await;
        self.remove_container(&helper.name).await?;
        ended
    }

    async fn follow(
        &self,
        name: &str,
        what: &str,
        on_line: &mut impl FnMut(&str),
    ) -> Result<(i64, String), Error> {
        let options = AttachContainerOptionsBuilder::new().stdout(true).stderr(true).stream(true).build();
        let attached = self.api.attach_container(name, Some(options)).await.map_err(Error::of(what))?;
        self.start_container(name).await?;
        let (mut output, mut pending, mut complaint) = (attached.output, Vec::new(), String::new());
        while let Some(piece) = output.next().await {
            match piece.map_err(Error::of(what))? {
                LogOutput::StdErr { message } => complaint += &String::from_utf8_lossy(&message),
                other => lines(&mut pending, &other.into_bytes(), on_line),
            }
        }
        let mut waiting = self.api.wait_container(name, None::<WaitContainerOptions>);
        let code = match waiting.next().await {
            Some(Ok(ended)) => ended.status_code,
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) => return Err(Error::of(what)(error)),
            None => -1,
        };
        Ok((code, complaint))
    }

    /// Returns whether the file system of an image can be mounted; that it cannot is no error.
    pub async fn can_mount(&self, image: &str) -> Result<bool, Error> {
        let what = format!("mount the image `{image}`");
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            // Never run; an image may name no command of its own.
            cmd: Some(vec!["true".to_owned()]),
            ..Default::default()
        };
        let made =
            self.api.create_container(None::<bollard::query_parameters::CreateContainerOptions>, body).await;
        let container = match made.map_err(Error::of(what)) {
            Ok(container) => container.id,
            Err(error) if error.is_engine_gone() => return Err(error),
            Err(_) => return Ok(false),
        };
        let options = bollard::query_parameters::ContainerArchiveInfoOptionsBuilder::new().path("/").build();
        let looked = self.api.get_container_archive_info(&container, Some(options)).await;
        self.remove_container(&container).await?;
        Ok(looked.is_ok())
    }
}

fn lines(pending: &mut Vec<u8>, bytes: &[u8], on_line: &mut impl FnMut(&str)) {
    pending.extend_from_slice(bytes);
    while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = pending.drain(..=end).collect();
        on_line(String::from_utf8_lossy(&line).trim_end());
    }
}

fn body(helper: &Helper) -> ContainerCreateBody {
    let host = HostConfig {
        network_mode: Some("none".to_owned()),
        mounts: Some(mounts(&helper.volumes, &helper.binds, &helper.labels)),
        tmpfs: Some(helper.memory.iter().map(|path| (path.clone(), "exec".to_owned())).collect()),
        cap_add: Some(helper.capabilities.clone()),
        security_opt: Some(helper.security.clone()),
        masked_paths: Some(Vec::new()),
        readonly_paths: Some(Vec::new()),
        ..Default::default()
    };
    ContainerCreateBody {
        image: Some(helper.image.clone()),
        entrypoint: Some(helper.command.clone()),
        env: Some(helper.env.clone()),
        labels: Some(helper.labels.clone().into_iter().collect()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(host),
        ..Default::default()
    }
}
