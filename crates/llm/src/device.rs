//! The compute device: the device that a flag names, or else the best available device.

use crate::error::ModelError;
use candle_core::Device;

/// The user's choice of a compute device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU if this build supports one and it is available, otherwise the CPU.
    #[default]
    Auto,
    Cpu,
    Cuda(usize),
    Metal,
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;

    fn from_str(word: &str) -> Result<DeviceChoice, String> {
        let word = word.to_lowercase();
        let number = word
            .strip_prefix("cuda")
            .map(|rest| rest.trim_start_matches(':'));
        match (word.as_str(), number) {
            ("auto", _) => Ok(DeviceChoice::Auto),
            ("cpu", _) => Ok(DeviceChoice::Cpu),
            ("metal", _) => Ok(DeviceChoice::Metal),
            (_, Some("")) => Ok(DeviceChoice::Cuda(0)),
            (_, Some(number)) => number
                .parse()
                .map(DeviceChoice::Cuda)
                .map_err(|_| "a CUDA device is cuda or cuda:N, for example cuda:1".to_string()),
            _ => Err("a device is auto, cpu, cuda:N or metal".to_string()),
        }
    }
}

/// Opens the chosen device. Returns an error if the user named a GPU that is not present; `Auto`
/// falls back to the CPU.
pub fn open(choice: DeviceChoice) -> Result<Device, ModelError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(index) => {
            Device::new_cuda(index).map_err(|error| absent("CUDA", &error))
        }
        DeviceChoice::Metal => Device::new_metal(0).map_err(|error| absent("Metal", &error)),
        DeviceChoice::Auto => {
            let found = Device::new_cuda(0).or_else(|_| Device::new_metal(0));
            Ok(found.unwrap_or(Device::Cpu))
        }
    }
}

/// Returns the device's name as recorded in provenance: `cpu`, `cuda:0` or `metal`.
pub fn name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".to_string(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

fn absent(kind: &str, error: &candle_core::Error) -> ModelError {
    let error = error.to_string();
    let first = error.lines().next().unwrap_or_default();
    ModelError::Device(format!(
        "No {kind} device is available ({first}); use a build that supports {kind}, or --device cpu"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_users_name_them() {
        assert_eq!("cuda:1".parse(), Ok(DeviceChoice::Cuda(1)));
        assert_eq!("CUDA".parse(), Ok(DeviceChoice::Cuda(0)));
        assert!("gpu".parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(name(&open(DeviceChoice::Cpu).unwrap()), "cpu");
        assert!(open(DeviceChoice::Auto).is_ok());
    }
}
