/// Scores of weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker 2005):
/// a shard belongs to the worker with the lowest `-log2(u) / weight`, where `u` is a uniform number in (0, 1] made of both.
/// A worker twice as heavy wins twice as many shards, and a worker that comes or goes changes only what it wins.
///
/// All arithmetic is in integers, so that every leader on every machine gets the same. Fixed for ever:
///
/// 1. `seed` = FNV-1a of 64 bits over the identity's UTF-8.
/// 2. `u` = mix(seed + (shard + 1) × 9e3779b97f4a7c15), where mix is the finalizer of SplitMix64; in units of 2⁻⁶⁴.
/// 3. `cost` = 64 - log2(u), in units of 2⁻³², log2 by a table of 256 steps between powers of two, linear between them.
///
/// | identity | seed | shard | u | cost |
/// |---|---|---|---|---|
/// | `worker-0` | `24913dc59027ea3a` | 0 | `137dd13be396a764` | 15956789595 |
/// | `worker-0` | `24913dc59027ea3a` | 255 | `b994951d5445bdcc` | 1993295031 |
/// | `worker-1` | `24913ec59027ebed` | 0 | `0d0f1aae127ca6a0` | 18438413986 |
/// | `sidereal-worker-7` | `2daba1964393d407` | 4711 | `831432f483f27af6` | 4147691597 |
public struct PlacementHash: Sendable {
    /// log2(1 + i / 256) in units of 2⁻³², i from 0 to 256.
    private let logarithms: [UInt64]

    /// Makes the table.
    public init() {
        logarithms = (0...256).map { Self.logarithm(ofFraction: UInt64($0)) }
    }

    /// Step 1.
    public static func seed(of identity: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in identity.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return hash
    }

    /// Step 2.
    @inline(__always)
    public static func uniform(seed: UInt64, shard: Int) -> UInt64 {
        var mixed = seed &+ UInt64(truncatingIfNeeded: shard &+ 1) &* 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Step 3: at most 2³⁸, so that the product with a weight of 16 bits fits 64. Zero counts as one.
    @inline(__always)
    public func cost(ofUniform uniform: UInt64) -> UInt64 {
        let value = uniform | (uniform == 0 ? 1 : 0)
        let zeros = value.leadingZeroBitCount
        // The bits below the leading one: 8 choose the step, 32 lie between steps.
        let fraction = (value &<< UInt64(zeros)) &<< 1
        let step = Int(truncatingIfNeeded: fraction >> 56)
        let between = (fraction >> 24) & 0xFFFF_FFFF
        let low = logarithms[step]
        let logarithm = low &+ (((logarithms[step + 1] &- low) &* between) >> 32)
        return (UInt64(zeros + 1) << 32) &- logarithm
    }

    /// log2(1 + i / 256) bit by bit: a number's square has twice its logarithm.
    private static func logarithm(ofFraction i: UInt64) -> UInt64 {
        if i == 256 { return 1 << 32 }
        var mantissa = (256 + i) << 54  // In [1, 2), in units of 2⁻⁶².
        var result: UInt64 = 0
        for _ in 0..<32 {
            let square = mantissa.multipliedFullWidth(by: mantissa)
            mantissa = (square.high << 2) | (square.low >> 62)
            result <<= 1
            if mantissa >> 63 == 1 {
                result |= 1
                mantissa >>= 1
            }
        }
        return result
    }
}
