package org.lolvit

/**
 * A failure that a user can cause or must act on: [message] is one line that says what is wrong,
 * where, and what to do. Anything else that this library throws is a bug.
 */
public open class LolvitException(message: String, cause: Throwable? = null) :
    Exception(message.lines().joinToString(" ") { it.trim() }.trim(), cause)

/**
 * The model is intact, but this library does not implement what its manifest asks for: another task
 * than classification, another way to resize, another colour mode, or a newer schema version.
 */
public class UnsupportedModelException(message: String) : LolvitException(message)
