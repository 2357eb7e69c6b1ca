/// Decides which worker should own which shard: weighted rendezvous hashing with bounded load, and no move without need.
///
/// Promises:
/// 1. The same input gives the same result on every machine, in whatever order the members stand.
/// 2. No member holds more than 1.25 times its fair share (by weight), or one more than the whole part of its share where
///    shares are that small.
/// 3. A shard leaves a member only because the member holds more than that, or because another one holds less than three
///    quarters of its share; such a one is filled up to the whole part of its share and no further. So one that joins
///    moves exactly its share, and one that leaves exactly what it held.
/// 4. Shards that have to be given to somebody go first where least is held in relation to the weight, so that loads stay
///    close to fair, not merely below the cap; which shard goes to whom of those is what the hash decides.
///
/// Plain rendezvous hashing would give shards back to a worker that returns, but leaves loads as unequal as chance makes
/// them. Workers that return within their lease keep their shards by claim, so balance was preferred.
public enum Placement {
    /// Somebody who can own shards.
    public struct Member: Sendable, Equatable {
        /// Stable name; enters the hash.
        public var identity: String
        /// Share in relation to the others; zero counts as one.
        public var weight: UInt16

        /// `identity` with `weight`.
        public init(identity: String, weight: UInt16) {
            self.identity = identity
            self.weight = weight
        }
    }

    /// In place of an owner: the shard has none and needs one.
    public static let nobody: Int32 = -1
    /// In place of an owner: the shard is not to be placed now and counts for nobody.
    public static let excluded: Int32 = -2

    /// Who should own each shard.
    ///
    /// - Parameters:
    ///   - members: all who can own shards, each identity once.
    ///   - current: for each shard the index of its owner in `members`, ``nobody`` or ``excluded``.
    /// - Returns: for each shard the index of the owner it should have; ``nobody`` if there are no members; ``excluded``
    ///   where that was given.
    ///
    /// At most one score for each pair of shard and member: with 1 000 members and 16 384 shards 16 million, a fraction of
    /// a second.
    public static func place(members: [Member], current: [Int32]) -> [Int32] {
        guard !members.isEmpty else { return current.map { $0 == excluded ? excluded : nobody } }
        var plan = Plan(members: members, current: current)
        plan.release()
        plan.fill()
        return plan.result
    }

    /// The whole part of a member's fair share, the least whole number not below it, and the most it may hold.
    ///
    /// - Parameter shards: how many are to be placed.
    public static func bounds(shards: Int, weight: UInt16, total: UInt64) -> (floor: Int, ceiling: Int, cap: Int) {
        let product = UInt64(shards) * UInt64(max(1, weight))
        let floor = Int(product / total)
        let ceiling = floor + (product % total == 0 ? 0 : 1)
        return (floor, ceiling, max(ceiling, Int(product * 5 / (total * 4))))
    }
}

/// One placement under way. Members stand in order of identity here, so that ties fall alike everywhere.
private struct Plan {
    private struct Share {
        var weight: UInt64
        var seed: UInt64
        var floor: Int
        var ceiling: Int
        var cap: Int
        var load = 0
        /// Shards it is to be given.
        var quota = 0
        /// Shards it has to give.
        var giving = 0

        /// Whether it holds so little that others have to give.
        var isDeficient: Bool { load < floor && (load == 0 || load * 4 < floor * 3) }
        /// Whether it holds more in relation to its weight than `other`.
        func isFuller(than other: Share) -> Bool { UInt64(load) * other.weight > UInt64(other.load) * weight }
        /// The same, counting what it is to be given.
        func willBeEmptier(than other: Share) -> Bool {
            UInt64(load + quota) * other.weight < UInt64(other.load + other.quota) * weight
        }
    }

    /// Places in `members` by order of identity.
    private let order: [Int]
    private var shares: [Share]
    /// Owner of each shard as an index into `shares`.
    private var owners: [Int32]
    private var pool: [Int] = []
    private let hash = PlacementHash()

    init(members: [Placement.Member], current: [Int32]) {
        order = members.indices.sorted {
            members[$0].identity.utf8.lexicographicallyPrecedes(members[$1].identity.utf8)
        }
        var ranks = [Int32](repeating: 0, count: members.count)
        for (rank, index) in order.enumerated() { ranks[index] = Int32(rank) }
        owners = current.map { $0 >= 0 ? ranks[Int($0)] : $0 }
        let placed = current.count { $0 != Placement.excluded }
        let total = members.reduce(UInt64(0)) { $0 + UInt64(max(1, $1.weight)) }
        shares = order.map { index in
            let member = members[index]
            let (floor, ceiling, cap) = Placement.bounds(shards: placed, weight: member.weight, total: total)
            return Share(
                weight: UInt64(max(1, member.weight)), seed: PlacementHash.seed(of: member.identity), floor: floor,
                ceiling: ceiling, cap: cap)
        }
        for (shard, owner) in owners.enumerated() {
            if owner >= 0 {
                shares[Int(owner)].load += 1
            } else if owner == Placement.nobody {
                pool.append(shard)
            }
        }
    }

    var result: [Int32] { owners.map { $0 >= 0 ? Int32(order[Int($0)]) : $0 } }

    /// Takes from owners what has to go elsewhere.
    mutating func release() {
        var released = 0
        for index in shares.indices {
            let share = shares[index]
            if share.isDeficient { shares[index].quota = share.floor - share.load }
            let excess = max(0, share.load - share.cap)
            shares[index].giving = excess
            shares[index].load -= excess
            released += excess
        }
        let wanted = shares.reduce(0) { $0 + $1.quota }
        while released + pool.count < wanted, let donor = fullest() {
            shares[donor].giving += 1
            shares[donor].load -= 1
            released += 1
        }
        guard released > 0 else { return }
        var held = [[Int]](repeating: [], count: shares.count)
        for (shard, owner) in owners.enumerated() where owner >= 0 && shares[Int(owner)].giving > 0 {
            held[Int(owner)].append(shard)
        }
        for index in shares.indices where shares[index].giving > 0 {
            // Those that suit it least.
            let costs = held[index].map { shard in
                (hash.cost(ofUniform: PlacementHash.uniform(seed: shares[index].seed, shard: shard)), shard)
            }
            for (_, shard) in costs.sorted(by: >).prefix(shares[index].giving) {
                owners[shard] = Placement.nobody
                pool.append(shard)
            }
        }
        pool.sort()
    }

    /// Whoever holds most in relation to its weight and more than the whole part of its share.
    private func fullest() -> Int? {
        var best: Int?
        for index in shares.indices where shares[index].load > shares[index].floor {
            if let found = best, !shares[index].isFuller(than: shares[found]) { continue }
            best = index
        }
        return best
    }

    /// Gives what nobody holds.
    mutating func fill() {
        var open = pool.count - shares.reduce(0) { $0 + $1.quota }
        while open > 0, let taker = emptiest() {
            shares[taker].quota += 1
            open -= 1
        }
        var takers = shares.indices.filter { shares[$0].quota > 0 }
        for shard in pool {
            guard let place = best(of: takers, for: shard) else { return }
            let taker = takers[place]
            owners[shard] = Int32(taker)
            shares[taker].quota -= 1
            if shares[taker].quota == 0 { takers.remove(at: place) }
        }
    }

    /// Whoever will hold least in relation to its weight and has room below its share.
    private func emptiest() -> Int? {
        var best: Int?
        for index in shares.indices where shares[index].load + shares[index].quota < shares[index].ceiling {
            if let found = best, !shares[index].willBeEmptier(than: shares[found]) { continue }
            best = index
        }
        return best
    }

    /// The place in `takers` of the one that suits `shard` best.
    private func best(of takers: [Int], for shard: Int) -> Int? {
        var best: Int?
        var bestCost: UInt64 = 0
        var bestWeight: UInt64 = 1
        for place in takers.indices {
            let weight = shares[takers[place]].weight
            let cost = hash.cost(ofUniform: PlacementHash.uniform(seed: shares[takers[place]].seed, shard: shard))
            // cost / weight < bestCost / bestWeight, without a division.
            if best == nil || cost &* bestWeight < bestCost &* weight {
                best = place
                bestCost = cost
                bestWeight = weight
            }
        }
        return best
    }
}
