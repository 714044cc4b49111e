import Foundation

/// Lets one camera frame through at a time: those that arrive while one is being worked on are
/// dropped, so that none waits and the picture never lags.
public final class FrameGate: @unchecked Sendable {
    private let lock = NSLock()
    private var isOpen = false
    private var isBusy = false

    public init() {}

    /// Whether a frame may be taken; the one that gets true must be finished.
    public func enter() -> Bool {
        lock.withLock {
            guard isOpen, !isBusy else { return false }
            isBusy = true
            return true
        }
    }

    /// The frame that entered is done.
    public func finish() {
        lock.withLock { isBusy = false }
    }

    func open() {
        lock.withLock { isOpen = true }
    }

    func close() {
        lock.withLock { isOpen = false }
    }
}
