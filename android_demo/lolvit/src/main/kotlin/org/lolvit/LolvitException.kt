package org.lolvit

/**
 * A failure that a user can cause or must act on: [message] is one line that says what is wrong,
 * where, and what to do. Anything else that this library throws is a bug.
 */
public class LolvitException(message: String, cause: Throwable? = null) :
    Exception(message.lines().joinToString(" ") { it.trim() }.trim(), cause)
