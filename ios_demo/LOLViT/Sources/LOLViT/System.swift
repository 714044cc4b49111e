import Dispatch
import Foundation

#if os(iOS)
    import os
#endif

/// The clock of all measurements; it stands still while the device sleeps.
@Sendable func nanoseconds() -> UInt64 { DispatchTime.now().uptimeNanoseconds }

/// The bytes that this app may still use before the system ends it; nil where that is unknown.
@Sendable func availableMemory() -> Int? {
    #if os(iOS)
        return os_proc_available_memory()
    #else
        return nil
    #endif
}

/// This library.
enum Library {
    /// Equal to that of the Python package.
    static let version = "0.1.0"
}
