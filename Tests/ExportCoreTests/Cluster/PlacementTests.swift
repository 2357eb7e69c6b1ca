import ExportCore
import Model
import Testing

@Suite struct PlacementHashTests {
    /// Computed apart from this code, with decimal logarithms of 60 digits.
    @Test(
        arguments: [
            ("worker-0", 0x2491_3dc5_9027_ea3a, 0, 0x137d_d13b_e396_a764, 15_956_789_595),
            ("worker-0", 0x2491_3dc5_9027_ea3a, 255, 0xb994_951d_5445_bdcc, 1_993_295_031),
            ("worker-1", 0x2491_3ec5_9027_ebed, 0, 0x0d0f_1aae_127c_a6a0, 18_438_413_986),
            ("sidereal-worker-7", 0x2dab_a196_4393_d407, 4_711, 0x8314_32f4_83f2_7af6, 4_147_691_597),
            ("", 0xcbf2_9ce4_8422_2325, 65_535, 0x0195_f7f2_32ed_86af, 31_502_623_104),
        ] as [(String, UInt64, Int, UInt64, UInt64)])
    func vectors(identity: String, seed: UInt64, shard: Int, uniform: UInt64, cost: UInt64) {
        #expect(PlacementHash.seed(of: identity) == seed)
        #expect(PlacementHash.uniform(seed: seed, shard: shard) == uniform)
        #expect(PlacementHash().cost(ofUniform: uniform) == cost)
    }

    @Test func costFallsWithTheNumberFromOneEndToTheOther() {
        let hash = PlacementHash()
        #expect(hash.cost(ofUniform: 0) == 64 << 32)
        #expect(hash.cost(ofUniform: 1) == 64 << 32)
        #expect(hash.cost(ofUniform: 1 << 63) == 1 << 32)
        #expect(hash.cost(ofUniform: .max) == 1)
        var rng = PRNG(seed: 1)
        for _ in 0..<10_000 {
            let a = rng.next() >> rng.below(64)
            let b = a &+ 1 &+ rng.below(1 << 20)
            if b > a { #expect(hash.cost(ofUniform: a) >= hash.cost(ofUniform: b)) }
        }
    }
}

/// Moves and loads over histories of members that come and go. A move of a shard that was not free counts.
@Suite struct PlacementTests {
    struct Cluster {
        var shards: Int
        var members: [Placement.Member] = []
        var owners: [String?]
        var moves = 0
        /// The least that had to move: what those held who left, the share of those who joined.
        var minimum = 0

        init(shards: Int) {
            self.shards = shards
            owners = Array(repeating: nil, count: shards)
        }

        mutating func change(joining: [Placement.Member] = [], leaving: Set<String> = []) {
            let lost = owners.count { $0.map { leaving.contains($0) } ?? true }
            members.removeAll { leaving.contains($0.identity) }
            members += joining
            let places = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.identity, Int32($0)) })
            let current = owners.map { $0.flatMap { places[$0] } ?? Placement.nobody }
            let result = Placement.place(members: members, current: current)
            let total = members.reduce(UInt64(0)) { $0 + UInt64($1.weight) }
            let share = joining.reduce(0) {
                $0 + Placement.bounds(shards: shards, weight: $1.weight, total: total).floor
            }
            minimum += max(lost, share)
            for shard in 0..<shards {
                let owner: String? = result[shard] >= 0 ? members[Int(result[shard])].identity : nil
                if owner != owners[shard] { moves += 1 }
                owners[shard] = owner
            }
        }

        /// The highest load in relation to the fair share.
        var imbalance: Double {
            var loads: [String: Int] = [:]
            for case .some(let owner) in owners { loads[owner, default: 0] += 1 }
            let total = members.reduce(0.0) { $0 + Double($1.weight) }
            return members.map { Double(loads[$0.identity] ?? 0) * total / (Double($0.weight) * Double(shards)) }.max()
                ?? 0
        }

        var isWithinBounds: Bool {
            var loads: [String: Int] = [:]
            for case .some(let owner) in owners { loads[owner, default: 0] += 1 }
            let total = members.reduce(UInt64(0)) { $0 + UInt64($1.weight) }
            return members.allSatisfy {
                (loads[$0.identity] ?? 0) <= Placement.bounds(shards: shards, weight: $0.weight, total: total).cap
            }
        }
    }

    func members(_ range: Range<Int>, weight: (Int) -> UInt16 = { _ in 4 }) -> [Placement.Member] {
        range.map { Placement.Member(identity: "worker-\($0)", weight: weight($0)) }
    }

    @Test func nobodyToOwnAndNothingToOwn() {
        #expect(Placement.place(members: [], current: [0, -1, -2]) == [-1, -1, -2])
        #expect(Placement.place(members: members(0..<2), current: []) == [])
        #expect(Placement.place(members: members(0..<2), current: [-2, -2]) == [-2, -2])
    }

    @Test func orderOfMembersDoesNotMatter() {
        var rng = PRNG(seed: 3)
        let sorted = members(0..<9) { UInt16($0 % 3 + 1) }
        let current = (0..<256).map { _ in Int32(rng.below(10)) - 1 }
        let expected = Placement.place(members: sorted, current: current).map { sorted[Int($0)].identity }
        for _ in 0..<20 {
            let shuffled = sorted.shuffled(using: &rng)
            let places = sorted.map { member in Int32(shuffled.firstIndex(of: member) ?? 0) }
            let mapped = current.map { $0 >= 0 ? places[Int($0)] : $0 }
            let result = Placement.place(members: shuffled, current: mapped)
            #expect(result.map { shuffled[Int($0)].identity } == expected)
        }
    }

    /// From nothing, a member twice as heavy gets twice as much, and every member its share.
    @Test func freshPlacementIsFair() {
        var cluster = Cluster(shards: 256)
        cluster.change(joining: members(0..<4) { UInt16($0 + 1) })
        let loads = (0..<4).map { member in cluster.owners.count { $0 == "worker-\(member)" } }
        let fair = [25.6, 51.2, 76.8, 102.4]
        for (load, share) in zip(loads, fair) { #expect(abs(Double(load) - share) < 1) }
    }

    @Test func scaleOneToEightToTwoMovesNoMoreThanItMust() {
        var cluster = Cluster(shards: 256)
        cluster.change(joining: members(0..<1))
        for count in 2...8 { cluster.change(joining: members(count - 1..<count)) }
        #expect(cluster.isWithinBounds)
        for count in (2...7).reversed() { cluster.change(leaving: ["worker-\(count)"]) }
        #expect(cluster.isWithinBounds)
        #expect(cluster.moves == cluster.minimum)
    }

    @Test func withinAShareNothingMoves() {
        // 70 and 58 of 128: a fair share is 64, within its quarter nobody has to give.
        let current = (0..<128).map { Int32($0 < 70 ? 0 : 1) }
        #expect(Placement.place(members: members(0..<2), current: current) == current)
    }

    @Test func randomHistoriesStayWithinTheirBounds() {
        for seed in 0..<100 as Range<UInt64> {
            var rng = PRNG(seed: seed)
            var cluster = Cluster(shards: 1 + Int(rng.below(400)))
            var next = 0
            for step in 0..<20 {
                let joining = members(next..<next + Int(rng.below(step == 0 ? 9 : 3))) { _ in UInt16(1 + rng.below(16))
                }
                next += joining.count
                let leaving = cluster.members.map(\.identity).filter { _ in rng.below(8) == 0 }
                cluster.change(joining: joining, leaving: Set(leaving))
                #expect(cluster.isWithinBounds, "seed \(seed) step \(step)")
                #expect(cluster.members.isEmpty || !cluster.owners.contains(nil), "seed \(seed) step \(step)")
            }
        }
    }

    /// 1 000 workers of mixed weight and 16 384 shards: each joins, leaves or is replaced, alone and in crowds.
    @Test func thousandWorkers() {
        var cluster = Cluster(shards: 16_384)
        cluster.change(joining: members(0..<1_000) { UInt16([2, 4, 4, 8][$0 % 4]) })
        (cluster.moves, cluster.minimum) = (0, 0)
        var worst = cluster.imbalance
        var next = 1_000
        var rng = PRNG(seed: 9)
        for size in [1, 1, 1, 1, 20, 100] {
            let leaving = cluster.members.shuffled(using: &rng).prefix(size).map(\.identity)
            cluster.change(leaving: Set(leaving))
            worst = max(worst, cluster.imbalance)
            cluster.change(joining: members(next..<next + size) { UInt16([2, 4, 4, 8][$0 % 4]) })
            next += size
            worst = max(worst, cluster.imbalance)
        }
        #expect(cluster.isWithinBounds)
        #expect(worst <= 1.25)
        #expect(Double(cluster.moves) <= 1.05 * Double(cluster.minimum), "\(cluster.moves) of \(cluster.minimum)")
    }
}
