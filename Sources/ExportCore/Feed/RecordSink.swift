/// What a coordinator feeds: the workers, seen from above.
public protocol RecordSink: Sendable {
    /// For each target, whether it takes another chunk. What it takes is bounded by its queue.
    func hasRoom() -> [Bool]

    /// Takes a chunk for the targets named, and returns when it is written down for each.
    func take(_ chunk: Chunk, for targets: [Int]) async

    /// Closes batches that are old enough, or all of them.
    func closeBatches(force: Bool) async

    /// Returns when some target has made progress, or after `milliseconds`.
    func waitForProgress(milliseconds: UInt64) async
}
