import Foundation

/// What clusters of up to a thousand workers move and how evenly they are loaded, measured in results.
public struct Scale: Sendable {
    private let results: UInt64
    private let threads: Int
    private let maxMoves: Double
    private let maxLoad: Double

    /// - Parameters:
    ///   - maxMoves: what may move at most, in relation to what has to.
    ///   - maxLoad: what a worker may be loaded with at most, in relation to its fair share.
    public init(results: UInt64, threads: Int, maxMoves: Double, maxLoad: Double) {
        self.results = results
        self.threads = max(1, threads)
        self.maxMoves = maxMoves
        self.maxLoad = maxLoad
    }

    /// Runs all plays, prints a line for each, and says whether all kept to the bounds.
    public func run() -> Bool {
        let began = Date()
        let counts = ResultCounts.hashing(results, for: [256, 4_096], threads: threads)
        print("\(results) results hashed in \(Self.text(Date().timeIntervalSince(began), 1)) s")
        print("workers shards moved/minimum load/fair")
        var isWithin = true
        for (name, shards, play) in Self.plays {
            var cluster = ScaleCluster(shardCount: shards, results: counts.of(shards))
            play(&cluster)
            isWithin = judge(name, cluster) && isWithin
        }
        print(
            "\(isWithin ? "within" : "NOT within") moves <= \(maxMoves) x the minimum, load <= \(maxLoad) x fair; "
                + "\(Self.text(Date().timeIntervalSince(began), 1)) s")
        return isWithin
    }

    private func judge(_ name: String, _ cluster: ScaleCluster) -> Bool {
        // What has to move in no case may not move at all.
        let moves = cluster.minimum > 0 ? Double(cluster.moved) / cluster.minimum : cluster.moved > 0 ? .infinity : 1
        let numbers = [
            Self.pad("\(cluster.workerCount)", 7), Self.pad("\(cluster.shardCount)", 6),
            Self.pad(cluster.minimum > 0 ? Self.text(moves, 3) : "\(cluster.moved)/0", 13),
            Self.pad(Self.text(cluster.worst, 3), 9),
        ]
        print("\(numbers.joined(separator: " "))  \(name)")
        for mistake in cluster.mistakes.prefix(3) { print("  \(mistake)") }
        return cluster.mistakes.isEmpty && moves <= maxMoves && cluster.worst <= maxLoad
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    private static func text(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

    // MARK: Plays

    private typealias Play = (name: String, shards: Int, play: @Sendable (inout ScaleCluster) -> Void)

    private static func names(_ range: Range<Int>) -> [String] { range.map { "worker-\($0)" } }

    private static let plays: [Play] = [
        (
            "1 to 8 to 2, one by one", 256,
            { cluster in
                for number in 0..<8 { cluster.join(names(number..<number + 1)) }
                for number in (2..<8).reversed() { cluster.drain(names(number..<number + 1)) }
            }
        ),
        (
            "1 to 8 to 2, at once", 256,
            { cluster in
                cluster.join(names(0..<1))
                cluster.join(names(1..<8))
                cluster.kill(names(2..<8))
            }
        ),
        (
            "1 000: one, twenty and a hundred die, and as many come", 4_096,
            { cluster in
                cluster.join(names(0..<1_000))
                var next = 1_000
                for count in [1, 20, 100] {
                    cluster.kill(names(next - 1_000..<next - 1_000 + count))
                    cluster.join(names(next..<next + count))
                    next += count
                }
            }
        ),
        (
            "1 000: drained and started again, fifty at a time", 4_096,
            { cluster in
                cluster.join(names(0..<1_000))
                for start in stride(from: 0, to: 1_000, by: 50) {
                    cluster.drain(names(start..<start + 50))
                    cluster.join(names(start..<start + 50))
                }
            }
        ),
        (
            "1 000: killed and back within their lease, fifty at a time", 4_096,
            { cluster in
                cluster.join(names(0..<1_000))
                for start in stride(from: 0, to: 1_000, by: 50) { cluster.restart(names(start..<start + 50)) }
            }
        ),
        (
            "1 000: three changes of leader", 4_096,
            { cluster in
                cluster.join(names(0..<1_000))
                for _ in 0..<3 { cluster.changeLeader() }
            }
        ),
        (
            "200 of three sizes: ten die, ten come, one after the other", 4_096,
            { cluster in
                cluster.join(names(0..<200)) { [2, 4, 4, 8][$0 % 4] }
                for number in 0..<10 {
                    cluster.kill(names(number..<number + 1))
                    cluster.join(names(200 + number..<201 + number)) { _ in [2, 4, 4, 8][number % 4] }
                }
            }
        ),
    ]
}
