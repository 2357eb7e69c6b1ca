import Synchronization

/// The index templates that were put, by name; bounded, as they come from outside.
final class IndexTemplates: Sendable {
    private static let maxCount = 100
    private let bodies = Mutex<[String: [UInt8]]>([:])

    /// False if there are too many.
    func put(_ name: String, _ body: [UInt8]) -> Bool {
        bodies.withLock {
            guard $0[name] != nil || $0.count < Self.maxCount else { return false }
            $0[name] = body
            return true
        }
    }

    func get(_ name: String) -> [UInt8]? { bodies.withLock { $0[name] } }
}
