public import Model

/// Decides when an open batch closes: by count, by bytes or by age, whichever comes first.
public struct Batching: Sendable {
    private let bounds: BatchBounds
    /// Records in the open batch.
    public private(set) var records = 0
    /// Encoded bytes in the open batch.
    public private(set) var bytes = 0
    private var openedAt: Tick?

    /// A policy with `bounds`.
    public init(_ bounds: BatchBounds) { self.bounds = bounds }

    /// Counts a record of `size` encoded bytes. True if the batch must close now.
    public mutating func add(size: Int, now: Tick) -> Bool {
        if openedAt == nil { openedAt = now }
        records += 1
        bytes += size
        return records >= bounds.maxRecords || bytes >= bounds.maxBytes
    }

    /// Whether a record of `size` bytes would push a batch that is not empty over its bytes: close first.
    public func mustClose(before size: Int) -> Bool {
        records > 0 && bytes + size > bounds.maxBytes
    }

    /// When the open batch gets too old; nil while it is empty.
    public var dueAt: Tick? { openedAt?.adding(milliseconds: bounds.maxAgeMilliseconds) }

    /// Starts a new batch.
    public mutating func reset() {
        records = 0
        bytes = 0
        openedAt = nil
    }
}
