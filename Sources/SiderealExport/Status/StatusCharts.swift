import ExportCore

/// What the page draws, in signs: who owns which shard, and the last 15 minutes.
enum StatusCharts {
    /// Shards in a row.
    private static let rowOfShards = 64
    /// Shards whose owners are shown unless all are asked for.
    private static let fewShards = 1_024
    private static let signs = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
    private static let levels = Array("▁▂▃▄▅▆▇█")
    /// A sign for each of the last minutes.
    private static let minutes = Int(StatusHistory.windowMilliseconds / 60_000)

    /// The sign of a worker in the map of shards.
    static func sign(ofWorker index: Int) -> Character { signs[index % signs.count] }

    /// A sign for each shard: its owner's, `!` without one; owners that give it back or are lost are told elsewhere.
    static func shards(_ status: ClusterStatus, all: Bool) -> [String] {
        let shown = all ? status.shards[...] : status.shards.prefix(fewShards)
        let width = "\(max(0, shown.count - 1))".count
        var lines = ["shards by owner, from the left; ! has none"]
        var start = 0
        while start < shown.count {
            let row = shown[start..<min(start + rowOfShards, shown.count)]
            let number = "\(start)"
            let text = String(row.map { shard in shard.owner.map { sign(ofWorker: $0) } ?? "!" })
            lines.append(String(repeating: " ", count: width - number.count) + number + "  " + text)
            start += rowOfShards
        }
        let left = status.shards.count - shown.count
        return lines + (left > 0 ? ["and \(left) more; --all shows them"] : [])
    }

    /// Each target's rate, latency, backlog and oldest age: a sign is a minute and the most of it, the number the most of all.
    static func history(_ record: StatusHistory.Record) -> [String] {
        guard let newest = record.samples.last?.unixMilliseconds, record.samples.count > 1 else { return [] }
        var table = Table(["last 15 minutes, most", "records/s", "latency", "backlog", "oldest"])
        for (index, name) in record.targets.enumerated() {
            func chart(_ value: (StatusHistory.Sample) -> Double?, _ text: (Double) -> String) -> String {
                line(record.samples, until: newest, value, text)
            }
            // `Double.init` by itself may mean the one that takes a bit pattern.
            table.add([
                name, chart({ $0.recordsPerSecond.at(index) }) { Human.count(Int($0)) },
                chart({ $0.latencyMicroseconds.at(index).map { Double($0) } }) {
                    Human.duration(milliseconds: UInt64($0 / 1_000))
                },
                chart({ $0.backlog.at(index).map { Double($0) } }) { Human.count(Int($0)) },
                chart({ $0.oldestMilliseconds.at(index).map { Double($0) } }) {
                    Human.duration(milliseconds: UInt64($0))
                },
            ])
        }
        return table.lines
    }

    private static func line(
        _ samples: [StatusHistory.Sample], until newest: Int64, _ value: (StatusHistory.Sample) -> Double?,
        _ text: (Double) -> String
    ) -> String {
        var most = [Double?](repeating: nil, count: minutes)
        for sample in samples {
            let age = (newest - sample.unixMilliseconds) / 60_000
            guard (0..<Int64(minutes)).contains(age), let value = value(sample), value.isFinite, value >= 0 else {
                continue
            }
            let place = minutes - 1 - Int(age)
            most[place] = max(most[place] ?? 0, value)
        }
        guard let top = most.compactMap({ $0 }).max() else { return String(repeating: " ", count: minutes) + " –" }
        let signs = most.map { value -> Character in
            guard let value else { return " " }
            guard top > 0, value > 0 else { return levels[0] }
            return levels[min(levels.count - 1, Int(value / top * Double(levels.count)))]
        }
        // What is larger than any count or time is no number of ours.
        return String(signs) + " " + (top < 1e15 ? text(top) : "–")
    }
}

extension Array {
    /// The element, if there is one: a document of another program may have fewer.
    fileprivate func at<Wrapped>(_ index: Int) -> Wrapped? where Element == Wrapped? {
        indices.contains(index) ? self[index] : nil
    }

    fileprivate func at(_ index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
