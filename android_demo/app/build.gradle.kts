import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.lolvit.demo"
    compileSdk = 35

    defaultConfig {
        applicationId = "org.lolvit.demo"
        minSdk = 26
        targetSdk = 35
        versionCode = 1
        versionName = "0.1.0"
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }
    buildTypes {
        release {
            isMinifyEnabled = true
            isShrinkResources = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "proguard-rules.pro")
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
    androidResources { noCompress += listOf("tflite", "onnx") }
}

kotlin { compilerOptions { jvmTarget = JvmTarget.JVM_1_8 } }

dependencies {
    implementation(project(":lolvit"))
    implementation(libs.litert)
    implementation(libs.litert.gpu)
    implementation(libs.onnxruntime.android)
    implementation(libs.kotlinx.coroutines.android)
    // The tests compile by these. `make android-test` runs them: it makes what they compare with.
    testImplementation(libs.onnxruntime.jvm)
    testImplementation(libs.robolectric)
    testImplementation(libs.junit)
}
