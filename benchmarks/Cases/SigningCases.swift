@_spi(Benchmarks) import Backends
import Model

/// Requests to S3, built and signed.
enum SigningCases {
    static let all = [MicroCase("sigv4-put") { signing() }]

    private static func signing() -> Round {
        var target = EncodingCases.target(.s3, port: 443)
        target.s3.bucket = "audit-records"
        target.s3.region = "eu-central-1"
        let upload = SignedUpload(to: target, stamp: EncodingCases.stamp, at: 1_773_563_400)
        return Round {
            var sum = 0
            for _ in 0..<MicroCase.unitsOfRound { sum &+= try upload.make() }
            return sum
        }
    }
}
