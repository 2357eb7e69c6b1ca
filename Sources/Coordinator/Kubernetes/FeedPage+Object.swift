import ExportCore
import KubernetesAPI
import Model
import Protocol

extension FeedPage {
    /// A result as a source of its own, with one record: its object on one line.
    ///
    /// - Parameters:
    ///   - targets: those that it goes to.
    ///   - settled: those at which it is settled already.
    ///   - wall: now, milliseconds since 1970.
    init(
        of batch: ObjectBatch, _ entry: ObjectEntry, to targets: TargetMask, settled: TargetMask, wall: Int64,
        shardCount: UInt16
    ) {
        // With its line end. A copy: the batch is hundreds of results, and would stay as long as one of them.
        let line = entry.record.lowerBound..<entry.record.upperBound + 1
        var out = ByteWriter(capacity: line.count)
        out.append(batch.bytes.span, line)
        let age = wall - entry.createdMilliseconds
        self.init(
            targets: targets, source: entry.key.high, range: entry.key.low..<entry.key.low + 1,
            sourceSize: entry.key.low + 1,
            ageMilliseconds: entry.createdMilliseconds == 0 ? 0 : UInt64(max(0, age)), bytes: out.seal())
        self.settled = settled
        var hash = UIDHash()
        for byte in KubernetesStatusText.uid(entry.key).utf8 { hash.add(byte) }
        append(position: entry.key.low, shard: hash.shard(of: shardCount).number, start: 0, length: UInt32(line.count))
    }
}
