import Glibc
import Model
import Threading

/// An input with an open descriptor, freed with the object.
@safe final class InputHandle: Sendable {
    let descriptor: Int32
    let path: String

    init(path: String) throws(InputError) {
        self.path = path
        descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw InputError("cannot read \(path): \(systemErrorText(errno))") }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// The size in bytes. Only regular files can be read again, which delivery needs.
    func size() throws(InputError) -> UInt64 {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw InputError("cannot look at \(path): \(systemErrorText(errno))")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw InputError("\(path) is not a regular file; pipe it in with --input -")
        }
        return UInt64(status.st_size)
    }

    /// Up to `count` bytes from `offset`; fewer only at the end of the file.
    func read(at offset: UInt64, count: Int) throws(InputError) -> [UInt8] {
        var out = ByteWriter(capacity: count)
        try unsafe out.append(room: count) { buffer throws(InputError) in
            try unsafe read(at: offset, into: buffer)
        }
        return out.seal().array
    }

    /// Fills `buffer` from `offset` on; returns how many bytes came, fewer only at the end of the file.
    @unsafe func read(at offset: UInt64, into buffer: UnsafeMutableBufferPointer<UInt8>) throws(InputError) -> Int {
        var done = 0
        while done < buffer.count {
            let got = unsafe pread(
                descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done, off_t(offset) + off_t(done))
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw InputError("cannot read \(path): \(systemErrorText(errno))") }
            if got == 0 { break }
            done += got
        }
        return done
    }
}
