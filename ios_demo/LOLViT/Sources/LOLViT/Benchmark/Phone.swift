import Foundation

#if canImport(UIKit)
    import UIKit
#endif

/// How hot the device is, as the system reports it.
public enum ThermalState: String, Equatable, Sendable {
    case nominal
    case fair

    /// The system slows the device down, as in ``critical``.
    case serious
    case critical
}

/// The state of a device; nil where it is not reported.
public struct PhoneState: Equatable, Sendable {
    public var thermal: ThermalState?
    public var batteryPercent: Double?
    public var plugged: Bool?
    public var lowPowerMode: Bool?

    public init(
        thermal: ThermalState? = nil, batteryPercent: Double? = nil, plugged: Bool? = nil,
        lowPowerMode: Bool? = nil
    ) {
        self.thermal = thermal
        self.batteryPercent = batteryPercent
        self.plugged = plugged
        self.lowPowerMode = lowPowerMode
    }

    var isThrottled: Bool? { thermal.map { $0 == .serious || $0 == .critical } }
}

/// Reads a device's state between blocks.
public protocol Phone: Sendable {
    /// What its maker calls it, such as `iPhone16,1`.
    var name: String { get }
    func state() async -> PhoneState
}

/// The device that this app runs on.
public struct SystemPhone: Phone {
    public init() {}

    public var name: String {
        var about = utsname()
        uname(&about)
        return withUnsafeBytes(of: &about.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    public func state() async -> PhoneState {
        var found = PhoneState()
        #if canImport(Darwin)
            let process = ProcessInfo.processInfo
            found.lowPowerMode = process.isLowPowerModeEnabled
            found.thermal =
                switch process.thermalState {
                case .nominal: .nominal
                case .fair: .fair
                case .serious: .serious
                case .critical: .critical
                @unknown default: nil
                }
        #endif
        #if os(iOS)
            (found.batteryPercent, found.plugged) = await MainActor.run {
                let device = UIDevice.current
                device.isBatteryMonitoringEnabled = true
                let level = device.batteryLevel  // -1 where it is unknown
                let state = device.batteryState
                return (
                    level < 0 ? nil : Double(100 * level), state == .unknown ? nil : state != .unplugged
                )
            }
        #endif
        return found
    }
}
